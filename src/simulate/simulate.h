// Public header of the room simulate: what a fleet would do, by the planners of `verify`, recorded
// outcomes and a table of costs. Pure: no model, no clock, no files; the same input gives the same
// figures.
//
//   recording.h  answers with confidences and outcomes: recorded ones, or made by a simple model
//   costs.h      what rows and drafts cost
//   policy.h     what decides about drafts: a planner, auto, or an oracle
//   fleet.h      runs requests of one or several ranks through steps, and counts
//   frontier.h   total speed against speed per user: reading between points, gains at equal terms
#pragma once

#include "simulate/costs.h"
#include "simulate/fleet.h"
#include "simulate/frontier.h"
#include "simulate/policy.h"
#include "simulate/recording.h"
