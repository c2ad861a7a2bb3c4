#include "apps/info_text.h"

#include <algorithm>
#include <map>

namespace dspark::apps {
namespace {

constexpr size_t kShownItems = 6;
constexpr size_t kShownBytes = 100;

std::string item_text(const std::string& item) { return fmt::format("\"{}\"", shortened(item)); }
template <class Number>
std::string item_text(const Number& item) {
  return fmt::format("{}", item);
}

std::string array_text(const formats::GgufArray& array) {
  return std::visit(
      [](const auto& items) {
        using Item = typename std::decay_t<decltype(items)>::value_type;
        std::vector<std::string> shown;
        for (size_t i = 0; i < std::min(items.size(), kShownItems); ++i)
          shown.push_back(item_text(static_cast<const Item&>(items[i])));
        return fmt::format(
            "[{}{}]{}", fmt::join(shown, ", "), items.size() > kShownItems ? ", ..." : "",
            items.size() > kShownItems ? fmt::format(" ({} items)", items.size()) : "");
      },
      array.items);
}

std::string megabytes(size_t bytes) {
  return fmt::format("{:.2f} MB", static_cast<double>(bytes) / 1e6);
}

}  // namespace

std::string printable(std::string_view text, bool lines) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    const bool c1 =
        byte == 0xC2 && i + 1 < text.size() && static_cast<unsigned char>(text[i + 1]) < 0xA0;
    if (byte == '\n' || byte == '\t')
      out += lines ? std::string(1, text[i]) : byte == '\n' ? "\\n" : "\\t";
    else if (byte < 0x20 || byte == 0x7F || c1)
      out += fmt::format("\\x{:02x}", byte);
    else
      out += text[i];
  }
  return out;
}

std::string shortened(std::string_view text) {
  if (text.size() <= kShownBytes) return printable(text);
  size_t end = kShownBytes;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80)
    --end;  // whole characters
  return fmt::format("{}... ({} bytes)", printable(text.substr(0, end)), text.size());
}

std::string metadata_text(const formats::GgufValue& value) {
  return std::visit(
      [](const auto& v) -> std::string {
        using V = std::decay_t<decltype(v)>;
        if constexpr (std::is_same_v<V, formats::GgufArray>)
          return array_text(v);
        else if constexpr (std::is_same_v<V, std::string>)
          return shortened(v);
        else if constexpr (std::is_same_v<V, double>)
          return fmt::format("{}", static_cast<float>(v));  // most are f32 in the file
        else
          return fmt::format("{}", v);
      },
      value);
}

std::string json_text(const nlohmann::json& value) {
  return shortened(value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
}

void describe_tensor_totals(InfoText& out, const std::vector<TensorView>& tensors) {
  struct Group {
    size_t count = 0, bytes = 0;
  };
  std::map<std::string_view, Group> groups;
  double parameters = 0;
  size_t bytes = 0;
  for (const TensorView& tensor : tensors) {
    Group& group = groups[dtype_info(tensor.type).name];
    ++group.count;
    group.bytes += tensor.bytes;
    bytes += tensor.bytes;
    parameters += static_cast<double>(tensor.values());
  }
  std::vector<std::string> types;
  for (const auto& [name, group] : groups)
    types.push_back(fmt::format("{} {} ({})", group.count, name, megabytes(group.bytes)));
  out.field("parameters", fmt::format("{:.0f} ({:.2f} M)", parameters, parameters / 1e6));
  out.field("tensors", fmt::format("{}, {}", tensors.size(), megabytes(bytes)));
  out.field("types", fmt::format("{}", fmt::join(types, ", ")));
}

void describe_tensors(InfoText& out, const std::vector<TensorView>& tensors) {
  out.heading("tensors");
  size_t width = 0;
  for (const TensorView& tensor : tensors)
    width = std::max(width, std::min<size_t>(tensor.name.size(), 60));
  for (const TensorView& tensor : tensors)
    out.line(fmt::format("{:<{}} {:<5} {:<16} {} bytes", printable(tensor.name), width,
                         dtype_info(tensor.type).name,
                         fmt::format("[{}]", fmt::join(tensor.shape, ", ")), tensor.bytes));
}

}  // namespace dspark::apps
