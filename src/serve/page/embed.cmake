# cmake -DOUT=FILE.cc -DFILES=NAME=PATH=TYPE[,...] -P embed.cmake: a source file that holds other files' bytes.
string(REPLACE "," ";" FILES "${FILES}")
set(arrays "")
set(entries "")
set(i 0)
foreach(file IN LISTS FILES)
  if(NOT file MATCHES "^([^=]+)=([^=]+)=(.+)$")
    message(FATAL_ERROR "embed: ${file}: expected NAME=PATH=TYPE")
  endif()
  set(name "${CMAKE_MATCH_1}")
  set(type "${CMAKE_MATCH_3}")
  file(READ "${CMAKE_MATCH_2}" bytes HEX)
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "'\\\\x\\1'," bytes "${bytes}")
  string(APPEND arrays "const char kFile${i}[] = {${bytes}0};\n")
  string(APPEND entries "    {\"${name}\", \"${type}\", {kFile${i}, sizeof kFile${i} - 1}},\n")
  math(EXPR i "${i} + 1")
endforeach()
file(WRITE "${OUT}" "// Made by embed.cmake.
#include \"serve/page_files.h\"

namespace dspark::serve {
namespace {

${arrays}
const PageFile kFiles[] = {
${entries}};

}  // namespace

std::span<const PageFile> page_files() { return kFiles; }

}  // namespace dspark::serve
")
