// Public header of the room formats: model files, all of them untrusted.
#pragma once

#include "formats/gguf.h"
#include "formats/hf_config.h"
#include "formats/safetensors.h"
#include "formats/shown.h"
