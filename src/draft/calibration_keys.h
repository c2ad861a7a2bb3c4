// Private to our own form: the calibrations among its keys (docs/formats.md).
#pragma once

#include <string_view>

#include "draft/drafter_file.h"

namespace dspark::draft {

// Whether a key, without the prefix "dspark.", is of a calibration.
bool is_calibration_key(std::string_view name);

void set_calibration_keys(const DrafterConfig& config, formats::GgufWriter& writer);

// The config is checked. An error names the file and the key.
Result<std::vector<StoredCalibration>> read_calibrations(const formats::GgufFile& file,
                                                         const DrafterConfig& config);

}  // namespace dspark::draft
