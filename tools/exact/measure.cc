#include <algorithm>
#include <functional>
#include <utility>

#include "absl/strings/str_join.h"
#include "tools/exact/sections.h"

namespace lt2::tools {

absl::StatusOr<Measured> Measure(const std::vector<std::string>& names,
                                 const std::string& manifest) {
  for (const std::string& name : names) {
    const std::vector<std::string>& known = SectionNames();
    if (std::find(known.begin(), known.end(), name) == known.end()) {
      return InvalidArgument("no section '", name,
                             "'; there are: ", absl::StrJoin(known, ", "));
    }
  }
  const std::pair<const char*, std::function<absl::StatusOr<Section>()>>
      sections[] = {{"bits", MeasureBits},
                    {"work", MeasureWork},
                    {"launches", MeasureLaunches},
                    {"kernels", [&] { return MeasureKernels(manifest); }}};
  Measured measured;
  for (const auto& [name, measure] : sections) {
    if (!names.empty() &&
        std::find(names.begin(), names.end(), name) == names.end()) {
      measured.unavailable[name] = "not asked for";
      continue;
    }
    absl::StatusOr<Section> section = measure();
    if (section.ok()) {
      measured.record[name] = *std::move(section);
    } else if (absl::IsFailedPrecondition(section.status())) {
      measured.unavailable[name] = std::string(section.status().message());
    } else {
      return Annotate(section.status(), name);
    }
  }
  return measured;
}

}  // namespace lt2::tools
