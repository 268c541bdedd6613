#include "tasks/tokenizer/newer_unicode.h"

namespace lt2::tasks {
namespace {

struct Class {
  absl::string_view name;
  const char* ranges;
};

// The code points of each class in Unicode 16.0 that were unassigned in 15.0
// (one, U+1171E, moved from Mn to Mc).
constexpr Class kNewer[] = {
    {"L",
     "\\x{1c89}-\\x{1c8a}\\x{a7cb}-\\x{a7cd}\\x{a7da}-\\x{a7dc}"
     "\\x{105c0}-\\x{105f3}\\x{10d4a}-\\x{10d65}\\x{10d6f}-\\x{10d85}"
     "\\x{10ec2}-\\x{10ec4}\\x{11380}-\\x{11389}\\x{1138b}\\x{1138e}"
     "\\x{11390}-\\x{113b5}\\x{113b7}\\x{113d1}\\x{113d3}"
     "\\x{11bc0}-\\x{11be0}\\x{13460}-\\x{143fa}\\x{16100}-\\x{1611d}"
     "\\x{16d40}-\\x{16d6c}\\x{18cff}\\x{1e5d0}-\\x{1e5ed}\\x{1e5f0}"
     "\\x{2ebf0}-\\x{2ee5d}"},
    {"Lu",
     "\\x{1c89}\\x{a7cb}-\\x{a7cc}\\x{a7da}\\x{a7dc}"
     "\\x{10d50}-\\x{10d65}"},
    {"Ll", "\\x{1c8a}\\x{a7cd}\\x{a7db}\\x{10d70}-\\x{10d85}"},
    {"Lm", "\\x{10d4e}\\x{10d6f}\\x{16d40}-\\x{16d42}\\x{16d6b}-\\x{16d6c}"},
    {"Lo",
     "\\x{105c0}-\\x{105f3}\\x{10d4a}-\\x{10d4d}\\x{10d4f}"
     "\\x{10ec2}-\\x{10ec4}\\x{11380}-\\x{11389}\\x{1138b}\\x{1138e}"
     "\\x{11390}-\\x{113b5}\\x{113b7}\\x{113d1}\\x{113d3}"
     "\\x{11bc0}-\\x{11be0}\\x{13460}-\\x{143fa}\\x{16100}-\\x{1611d}"
     "\\x{16d43}-\\x{16d6a}\\x{18cff}\\x{1e5d0}-\\x{1e5ed}\\x{1e5f0}"
     "\\x{2ebf0}-\\x{2ee5d}"},
    {"M",
     "\\x{897}\\x{10d69}-\\x{10d6d}\\x{10efc}\\x{113b8}-\\x{113c0}"
     "\\x{113c2}\\x{113c5}\\x{113c7}-\\x{113ca}\\x{113cc}-\\x{113d0}"
     "\\x{113d2}\\x{113e1}-\\x{113e2}\\x{11f5a}\\x{1611e}-\\x{1612f}"
     "\\x{1e5ee}-\\x{1e5ef}"},
    {"Mn",
     "\\x{897}\\x{10d69}-\\x{10d6d}\\x{10efc}\\x{113bb}-\\x{113c0}"
     "\\x{113ce}\\x{113d0}\\x{113d2}\\x{113e1}-\\x{113e2}\\x{11f5a}"
     "\\x{1611e}-\\x{16129}\\x{1612d}-\\x{1612f}\\x{1e5ee}-\\x{1e5ef}"},
    {"Mc",
     "\\x{113b8}-\\x{113ba}\\x{113c2}\\x{113c5}\\x{113c7}-\\x{113ca}"
     "\\x{113cc}-\\x{113cd}\\x{113cf}\\x{1171e}\\x{1612a}-\\x{1612c}"},
    {"N",
     "\\x{10d40}-\\x{10d49}\\x{116d0}-\\x{116e3}\\x{11bf0}-\\x{11bf9}"
     "\\x{16130}-\\x{16139}\\x{16d70}-\\x{16d79}\\x{1ccf0}-\\x{1ccf9}"
     "\\x{1e5f1}-\\x{1e5fa}"},
    {"Nd",
     "\\x{10d40}-\\x{10d49}\\x{116d0}-\\x{116e3}\\x{11bf0}-\\x{11bf9}"
     "\\x{16130}-\\x{16139}\\x{16d70}-\\x{16d79}\\x{1ccf0}-\\x{1ccf9}"
     "\\x{1e5f1}-\\x{1e5fa}"},
    {"P",
     "\\x{1b4e}-\\x{1b4f}\\x{1b7f}\\x{10d6e}\\x{113d4}-\\x{113d5}"
     "\\x{113d7}-\\x{113d8}\\x{11be1}\\x{16d6d}-\\x{16d6f}\\x{1e5ff}"},
    {"Pd", "\\x{10d6e}"},
    {"Po",
     "\\x{1b4e}-\\x{1b4f}\\x{1b7f}\\x{113d4}-\\x{113d5}"
     "\\x{113d7}-\\x{113d8}\\x{11be1}\\x{16d6d}-\\x{16d6f}\\x{1e5ff}"},
    {"S",
     "\\x{2427}-\\x{2429}\\x{2ffc}-\\x{2fff}\\x{31e4}-\\x{31e5}"
     "\\x{31ef}\\x{10d8e}-\\x{10d8f}\\x{1cc00}-\\x{1ccef}"
     "\\x{1cd00}-\\x{1ceb3}\\x{1f8b2}-\\x{1f8bb}\\x{1f8c0}-\\x{1f8c1}"
     "\\x{1fa89}\\x{1fa8f}\\x{1fabe}\\x{1fac6}\\x{1fadc}\\x{1fadf}"
     "\\x{1fae9}\\x{1fbcb}-\\x{1fbef}"},
    {"Sm", "\\x{10d8e}-\\x{10d8f}"},
    {"So",
     "\\x{2427}-\\x{2429}\\x{2ffc}-\\x{2fff}\\x{31e4}-\\x{31e5}"
     "\\x{31ef}\\x{1cc00}-\\x{1ccef}\\x{1cd00}-\\x{1ceb3}"
     "\\x{1f8b2}-\\x{1f8bb}\\x{1f8c0}-\\x{1f8c1}\\x{1fa89}\\x{1fa8f}"
     "\\x{1fabe}\\x{1fac6}\\x{1fadc}\\x{1fadf}\\x{1fae9}"
     "\\x{1fbcb}-\\x{1fbef}"},
    {"Han", "\\x{2ebf0}-\\x{2ee5d}"},
};

}  // namespace

const char kNewerWordRanges[] =
    "\\x{897}\\x{1c89}-\\x{1c8a}\\x{a7cb}-\\x{a7cd}\\x{a7da}-\\x{a7dc}"
    "\\x{105c0}-\\x{105f3}\\x{10d40}-\\x{10d65}\\x{10d69}-\\x{10d6d}"
    "\\x{10d6f}-\\x{10d85}\\x{10ec2}-\\x{10ec4}\\x{10efc}"
    "\\x{11380}-\\x{11389}\\x{1138b}\\x{1138e}\\x{11390}-\\x{113b5}"
    "\\x{113b7}-\\x{113c0}\\x{113c2}\\x{113c5}\\x{113c7}-\\x{113ca}"
    "\\x{113cc}-\\x{113d3}\\x{113e1}-\\x{113e2}\\x{116d0}-\\x{116e3}"
    "\\x{11bc0}-\\x{11be0}\\x{11bf0}-\\x{11bf9}\\x{11f5a}"
    "\\x{13460}-\\x{143fa}\\x{16100}-\\x{16139}\\x{16d40}-\\x{16d6c}"
    "\\x{16d70}-\\x{16d79}\\x{18cff}\\x{1ccf0}-\\x{1ccf9}"
    "\\x{1e5d0}-\\x{1e5fa}\\x{2ebf0}-\\x{2ee5d}";

absl::string_view NewerRanges(absl::string_view name) {
  for (const Class& entry : kNewer) {
    if (entry.name == name) return entry.ranges;
  }
  return {};
}

}  // namespace lt2::tasks
