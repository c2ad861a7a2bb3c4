// Dates: strftime_now.
#include <time.h>

#include "tokenizer/template_builtins.h"

namespace dspark::tokenizer::jinja {

std::string format_time(const std::string& format, int64_t unix_s) {
  // The program's locale must not change a prompt.
  static const locale_t kLocale = newlocale(LC_ALL_MASK, "C", nullptr);
  constexpr size_t kMostBytes = 4096;
  if (format.find('\0') != std::string::npos) raise("a date format holds a zero byte");
  const time_t when = static_cast<time_t>(unix_s);
  struct tm parts {};
  if (!gmtime_r(&when, &parts)) raise("the time {} has no date", unix_s);
  // Python's own: microseconds, and a time without a zone.
  std::string safe;
  for (size_t i = 0; i < format.size(); ++i) {
    const char next = format[i] == '%' && i + 1 < format.size() ? format[i + 1] : '\0';
    if (next == 'f') safe += "000000";
    if (next == '%') safe += "%%";
    if (next == 'f' || next == 'z' || next == 'Z' || next == '%')
      ++i;
    else
      safe += format[i];
  }
  std::string out(kMostBytes, '\0');
  safe += '.';  // never an empty result, which is how strftime reports failure
  const size_t bytes = strftime_l(out.data(), out.size(), safe.c_str(), &parts, kLocale);
  if (bytes == 0) raise("a date of more than {} bytes", kMostBytes);
  out.resize(bytes - 1);
  return out;
}

}  // namespace dspark::tokenizer::jinja
