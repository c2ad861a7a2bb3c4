// Public header of the room verify: how many draft tokens the target checks, and which of them
// stand. Pure maths on spans: no model, no threads, no files; nothing is allocated in the calls of
// a cycle once buffers have their size.
//
//   mode.h        the modes of verification
//   acceptance.h  a cycle's rows and drafts in, accepted drafts and the next token out
//   calibration.h  from raw confidences to true frequencies: forms, fits, which one applies
//   survival.h    confidences and survival under a calibration
//   metrics.h     accept length and rates; how true confidences are
//   confidence_sample.h  how sure that is: bootstrap intervals
//   choose_calibration.h  which form of calibration cycles call for
//   online_confidence.h  confidences that are learned while requests run
//   planner.h     verify lengths for the requests of a step
//   cost_table.h  what rows and drafts cost on this machine
//   pace.h        whether drafting pays for a request
//   usual_drafts.h  whether it usually pays under the present load
//   draft_length.h  how many slots are worth drafting
#pragma once

#include "verify/acceptance.h"
#include "verify/calibration.h"
#include "verify/choose_calibration.h"
#include "verify/confidence_sample.h"
#include "verify/cost_table.h"
#include "verify/draft_length.h"
#include "verify/metrics.h"
#include "verify/mode.h"
#include "verify/online_confidence.h"
#include "verify/pace.h"
#include "verify/planner.h"
#include "verify/survival.h"
#include "verify/usual_drafts.h"
