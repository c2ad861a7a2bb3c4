// Public header of the room serve: a model behind HTTP, as OpenAI's API has it.
//
//   server.h  what a server is given, and running it
#pragma once

#include "serve/server.h"
