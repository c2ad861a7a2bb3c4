// What `info` says of a model's and of a drafter's numbers.
#pragma once

#include "apps/info_text.h"
#include "draft/draft.h"
#include "model/model.h"

namespace dspark::apps {

void describe_model(InfoText& out, const Result<model::Spec>& spec);
void describe_drafter(InfoText& out, const Result<draft::DrafterFile>& file);

}  // namespace dspark::apps
