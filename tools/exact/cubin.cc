#include "tools/exact/cubin.h"

#include <cxxabi.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <map>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"

namespace lt2::tools {
namespace {

constexpr uint32_t kFatbinMagic = 0xBA55ED50;
constexpr uint16_t kMachineCode = 2;  // kind of a fatbin's entry; 1 is PTX
constexpr uint32_t kNoBits = 8;       // sh_type of a section without bytes
constexpr uint8_t kRegisters = 0x2f, kMinStack = 0x12, kFrame = 0x11;
constexpr uint8_t kInfoSized = 4;  // format of an attribute with its size
constexpr uint64_t kStoreLocal = 0x387, kLoadLocal = 0x983;

// Bytes with checked little-endian reads: past the end is an error that
// sticks, and zeros.
class Bytes {
 public:
  explicit Bytes(absl::string_view data) : data_(data) {}
  size_t size() const { return data_.size(); }
  bool ok() const { return ok_; }

  template <typename T>
  T Read(uint64_t at) {
    T value = 0;
    const absl::string_view bytes = Part(at, sizeof(T));
    if (bytes.size() == sizeof(T)) {
      std::memcpy(&value, bytes.data(), sizeof(T));
    }
    return value;
  }
  absl::string_view Part(uint64_t at, uint64_t size) {
    if (at > data_.size() || size > data_.size() - at) {
      ok_ = false;
      return {};
    }
    return data_.substr(at, size);
  }
  // A string that ends with a zero byte.
  std::string Text(uint64_t at) {
    const size_t end = at < data_.size() ? data_.find('\0', at) : data_.npos;
    if (end == data_.npos) {
      ok_ = false;
      return "";
    }
    return std::string(data_.substr(at, end - at));
  }

 private:
  absl::string_view data_;
  bool ok_ = true;
};

absl::Status Damaged(absl::string_view source, absl::string_view what) {
  return absl::DataLossError(absl::StrCat(source, ": ", what,
                                          " ends early or points outside; is "
                                          "the file whole?"));
}

struct ElfSection {
  std::string name;
  uint32_t type = 0;
  uint64_t size = 0;
  absl::string_view bytes;  // empty without bytes in the file
};

absl::StatusOr<std::vector<ElfSection>> ReadSections(absl::string_view elf,
                                                     absl::string_view source) {
  Bytes in(elf);
  if (!absl::StartsWith(elf, absl::string_view("\x7f"
                                               "ELF\x02\x01",
                                               6))) {
    return absl::DataLossError(
        absl::StrCat(source, ": not a 64-bit little-endian ELF file"));
  }
  const uint64_t table = in.Read<uint64_t>(0x28);
  const uint64_t entry = in.Read<uint16_t>(0x3a);
  const uint64_t count = in.Read<uint16_t>(0x3c);
  const uint64_t names_index = in.Read<uint16_t>(0x3e);
  if (!in.ok() || entry < 64 || names_index >= count) {
    return Damaged(source, "the ELF header");
  }
  // Part() checks the whole table, so that no sum below can wrap around.
  Bytes headers(in.Part(table, entry * count));
  Bytes names("");
  std::vector<ElfSection> sections(count);
  for (int pass = 0; pass < 2; ++pass) {
    for (uint64_t i = 0; i < count; ++i) {
      const uint64_t at = i * entry;
      ElfSection& s = sections[i];
      if (pass == 1) {
        s.name = names.Text(headers.Read<uint32_t>(at));
        continue;
      }
      s.type = headers.Read<uint32_t>(at + 4);
      s.size = headers.Read<uint64_t>(at + 32);
      if (s.type != kNoBits && s.type != 0) {
        s.bytes = in.Part(headers.Read<uint64_t>(at + 24), s.size);
      }
    }
    if (pass == 0) names = Bytes(sections[names_index].bytes);
  }
  if (!in.ok() || !headers.ok() || !names.ok()) {
    return Damaged(source, "an ELF section");
  }
  return sections;
}

const ElfSection* Find(const std::vector<ElfSection>& sections,
                       absl::string_view name) {
  for (const ElfSection& s : sections) {
    if (s.name == name) return &s;
  }
  return nullptr;
}

// Values of one attribute by symbol index, from .nv.info.
using Attributes = std::map<uint8_t, std::map<uint32_t, uint32_t>>;

absl::StatusOr<Attributes> ReadInfo(absl::string_view info,
                                    absl::string_view source) {
  Attributes attributes;
  Bytes in(info);
  uint64_t at = 0;
  while (at < in.size()) {
    const uint8_t format = in.Read<uint8_t>(at);
    const uint8_t name = in.Read<uint8_t>(at + 1);
    const uint16_t size = in.Read<uint16_t>(at + 2);
    at += 4;
    if (format == kInfoSized) {
      if (size == 8) {
        attributes[name][in.Read<uint32_t>(at)] = in.Read<uint32_t>(at + 4);
      }
      at += size;
    }
    if (!in.ok() || at > in.size()) return Damaged(source, ".nv.info");
  }
  return attributes;
}

void CountLocal(absl::string_view code, KernelResources* kernel) {
  // Bits 73 to 75 give what is moved: 8 bits twice, 16 twice, 32, 64, 128.
  static constexpr int64_t kSizes[8] = {1, 1, 2, 2, 4, 8, 16, 0};
  Bytes in(code);
  for (uint64_t at = 0; at + 16 <= in.size(); at += 16) {
    const uint64_t opcode = in.Read<uint64_t>(at) & 0xfff;
    if (opcode != kStoreLocal && opcode != kLoadLocal) continue;
    const int64_t size = kSizes[(in.Read<uint64_t>(at + 8) >> 9) & 7];
    (opcode == kStoreLocal ? kernel->local_store_bytes
                           : kernel->local_load_bytes) += size;
  }
}

// "13.0.88" and "sm_90a" from the note's strings.
void ReadToolkit(absl::string_view note, Cubin* cubin) {
  const auto word = [&](absl::string_view before, absl::string_view ends) {
    const size_t at = note.find(before);
    if (at == note.npos) return std::string("unknown");
    const absl::string_view rest = note.substr(at + before.size());
    return std::string(rest.substr(0, rest.find_first_of(ends)));
  };
  const absl::string_view ends(" \0", 2);
  cubin->toolkit = word(", V", ends);
  cubin->arch = word("-arch ", ends);
}

absl::StatusOr<Cubin> ReadCubin(absl::string_view elf,
                                absl::string_view source) {
  LT2_ASSIGN_OR_RETURN(const std::vector<ElfSection> sections,
                       ReadSections(elf, source));
  Cubin cubin;
  const ElfSection* note = Find(sections, ".note.nv.tkinfo");
  ReadToolkit(note == nullptr ? "" : note->bytes, &cubin);
  const ElfSection* info = Find(sections, ".nv.info");
  const ElfSection* symbols = Find(sections, ".symtab");
  const ElfSection* strings = Find(sections, ".strtab");
  if (info == nullptr || symbols == nullptr || strings == nullptr) {
    return absl::DataLossError(
        absl::StrCat(source, ": no .nv.info, .symtab or .strtab"));
  }
  LT2_ASSIGN_OR_RETURN(Attributes attributes, ReadInfo(info->bytes, source));

  Bytes table(symbols->bytes), names(strings->bytes);
  const auto& stack = attributes[kMinStack].empty() ? attributes[kFrame]
                                                    : attributes[kMinStack];
  for (const auto& [symbol, registers] : attributes[kRegisters]) {
    KernelResources kernel;
    const uint64_t at = uint64_t{symbol} * 24;
    kernel.symbol = names.Text(table.Read<uint32_t>(at));
    kernel.registers = registers;
    const auto found = stack.find(symbol);
    if (found != stack.end()) kernel.stack_bytes = found->second;
    const ElfSection* text =
        Find(sections, absl::StrCat(".text.", kernel.symbol));
    // Device functions that are called, not launched, share a kernel's code.
    if (text == nullptr) continue;
    CountLocal(text->bytes, &kernel);
    const ElfSection* shared =
        Find(sections, absl::StrCat(".nv.shared.", kernel.symbol));
    if (shared != nullptr) {
      kernel.shared_bytes = static_cast<int64_t>(shared->size);
    }
    cubin.kernels.push_back(std::move(kernel));
  }
  if (!table.ok() || !names.ok()) return Damaged(source, ".symtab");
  std::sort(cubin.kernels.begin(), cubin.kernels.end(),
            [](const KernelResources& a, const KernelResources& b) {
              return a.symbol < b.symbol;
            });
  return cubin;
}

// End of the balanced <...> or (...) that begins at `at`, or npos.
size_t Matching(absl::string_view text, size_t at) {
  int depth = 0;
  for (size_t i = at; i < text.size(); ++i) {
    if (text[i] == '<' || text[i] == '(') ++depth;
    if ((text[i] == '>' || text[i] == ')') && --depth == 0) return i + 1;
  }
  return text.npos;
}

}  // namespace

absl::StatusOr<std::vector<Cubin>> ReadObject(absl::string_view object,
                                              absl::string_view source) {
  LT2_ASSIGN_OR_RETURN(const std::vector<ElfSection> sections,
                       ReadSections(object, source));
  std::vector<Cubin> cubins;
  const ElfSection* section = Find(sections, ".nv_fatbin");
  if (section == nullptr) return cubins;
  Bytes in(section->bytes);
  uint64_t at = 0;
  while (at + 16 <= in.size()) {
    if (in.Read<uint32_t>(at) != kFatbinMagic) {
      at += 8;  // padding between fat binaries
      continue;
    }
    const uint64_t header = in.Read<uint16_t>(at + 6);
    const uint64_t size = in.Read<uint64_t>(at + 8);
    Bytes fat(in.Part(at + header, size));
    if (!in.ok() || header < 16) return Damaged(source, ".nv_fatbin");
    uint64_t entry = 0;
    while (entry < fat.size()) {
      const uint16_t kind = fat.Read<uint16_t>(entry);
      const uint32_t skip = fat.Read<uint32_t>(entry + 4);
      const uint64_t payload = fat.Read<uint64_t>(entry + 8);
      const absl::string_view bytes = fat.Part(entry + skip, payload);
      if (!fat.ok() || skip < 16) return Damaged(source, ".nv_fatbin");
      if (kind == kMachineCode) {
        if (!absl::StartsWith(bytes,
                              "\x7f"
                              "ELF")) {
          return absl::UnimplementedError(absl::StrCat(
              source,
              ": its machine code is compressed; compile with nvcc's "
              "--compress-mode=none to see registers"));
        }
        LT2_ASSIGN_OR_RETURN(Cubin cubin, ReadCubin(bytes, source));
        cubins.push_back(std::move(cubin));
      }
      entry += skip + payload;
    }
    at += header + size;
  }
  return cubins;
}

std::string KernelSignature(const std::string& symbol) {
  int status = 0;
  char* demangled =
      abi::__cxa_demangle(symbol.c_str(), nullptr, nullptr, &status);
  const std::string name = status == 0 ? demangled : symbol;
  std::free(demangled);
  return absl::StrReplaceAll(
      name,
      {{"(anonymous namespace)::", ""}, {"lt2::kernels::", ""}, {"lt2::", ""}});
}

std::string KernelName(const std::string& symbol) {
  std::string name = KernelSignature(symbol);
  // Templates have a return type: "void Kernel<float>(float const*)".
  if (absl::StartsWith(name, "void ")) name = name.substr(5);
  size_t end = name.find_first_of("<(");
  if (end != name.npos && name[end] == '<') {
    end = Matching(name, end);
    if (end != name.npos && (end == name.size() || name[end] != '(')) {
      end = name.npos;  // a nested name; keep all of it
    }
  }
  return end == name.npos ? name : name.substr(0, end);
}

}  // namespace lt2::tools
