// The web page's files, from src/serve/page, as they were when the program was built.
#pragma once

#include <span>
#include <string_view>

namespace dspark::serve {

struct PageFile {
  const char* path;  // as requested: "/style.css"
  const char* type;  // of its content
  std::string_view content;
};

std::span<const PageFile> page_files();

}  // namespace dspark::serve
