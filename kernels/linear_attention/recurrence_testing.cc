#include "kernels/linear_attention/recurrence_testing.h"

#include <algorithm>
#include <cmath>

namespace lt2::kernels {
namespace {

using testing::Rounded;
using testing::Uniform;

// Rows of length `dim` scaled to norm 1.
std::vector<double> Normalised(std::vector<double> x, int64_t dim) {
  for (size_t i = 0; i < x.size(); i += dim) {
    double sum = 1e-6;
    for (int64_t j = 0; j < dim; ++j) sum += x[i + j] * x[i + j];
    for (int64_t j = 0; j < dim; ++j) x[i + j] /= std::sqrt(sum);
  }
  return x;
}

int64_t DecaySize(const RecurrenceShape& s, Decay decay) {
  const int64_t tokens = s.batch * s.seq * s.v_heads;
  switch (decay) {
    case Decay::kNone:
      return 0;
    case Decay::kHead:
      return s.v_heads;
    case Decay::kToken:
      return tokens;
    case Decay::kChannel:
      return tokens * s.d_k;
  }
  return 0;
}

}  // namespace

RecurrenceInputs RandomRecurrence(uint64_t seed, const RecurrenceShape& s,
                                  const RecurrenceCaseOptions& options) {
  const int64_t qk = s.batch * s.seq * s.heads * s.d_k;
  const int64_t v = s.batch * s.seq * s.v_heads * s.d_v;
  const int64_t state = s.batch * s.v_heads * s.d_k * s.d_v;
  const DType f32 = DType::kF32;
  seed *= 100;
  RecurrenceInputs in;
  in.decay = options.decay;
  in.scale = static_cast<float>(1 / std::sqrt(static_cast<double>(s.d_k)));
  in.q = Uniform(seed + 1, qk);
  in.k = Uniform(seed + 2, qk);
  if (options.delta) {
    in.q = Normalised(in.q, s.d_k);
    in.k = Normalised(in.k, s.d_k);
    in.beta = Rounded(f32, Uniform(seed + 4, s.batch * s.seq * s.v_heads, 0,
                                   options.max_beta));
  }
  in.q = Rounded(options.act, in.q);
  in.k = Rounded(options.act, in.k);
  in.v = Rounded(options.act, Uniform(seed + 3, v));
  in.g =
      Rounded(f32, Uniform(seed + 5, DecaySize(s, in.decay), options.min_g, 0));
  if (options.states) in.initial_state = Rounded(f32, Uniform(seed + 6, state));
  if (options.gradient) in.dout = Rounded(options.act, Uniform(seed + 7, v));
  if (options.gradient && options.states) {
    in.dfinal_state = Rounded(f32, Uniform(seed + 8, state));
  }
  return in;
}

void SetExtremeDecays(RecurrenceInputs* in) {
  const double values[] = {0, -100, -1e-3, -0.5, -20, -0.01, 0, -3, -1e-6};
  for (size_t i = 0; i < in->g.size(); ++i) in->g[i] = values[i % 9];
  in->g = Rounded(DType::kF32, in->g);
}

RecurrenceInputs SliceTokens(const RecurrenceShape& s,
                             const RecurrenceInputs& in, int64_t begin,
                             int64_t end) {
  // Of a tensor of [batch, seq, row] values.
  const auto slice = [&](const std::vector<double>& x, int64_t row) {
    std::vector<double> part;
    for (int64_t b = 0; b < s.batch && !x.empty(); ++b) {
      const auto start = x.begin() + (b * s.seq + begin) * row;
      part.insert(part.end(), start, start + (end - begin) * row);
    }
    return part;
  };
  RecurrenceInputs part = in;
  part.q = slice(in.q, s.heads * s.d_k);
  part.k = slice(in.k, s.heads * s.d_k);
  part.v = slice(in.v, s.v_heads * s.d_v);
  part.dout = slice(in.dout, s.v_heads * s.d_v);
  part.beta = slice(in.beta, s.v_heads);
  if (in.decay != Decay::kHead) {
    part.g = slice(in.g, s.v_heads * (in.decay == Decay::kChannel ? s.d_k : 1));
  }
  return part;
}

std::vector<std::pair<std::string, const std::vector<double>*>> Fields(
    const RecurrenceOutputs& out) {
  std::vector<std::pair<std::string, const std::vector<double>*>> fields = {
      {"o", &out.o},   {"final_state", &out.final_state},
      {"dq", &out.dq}, {"dk", &out.dk},
      {"dv", &out.dv}, {"dbeta", &out.dbeta},
      {"dg", &out.dg}, {"dinitial_state", &out.dinitial_state}};
  fields.erase(std::remove_if(fields.begin(), fields.end(),
                              [](const auto& f) { return f.second->empty(); }),
               fields.end());
  return fields;
}

std::string Describe(const RecurrenceShape& s) {
  return absl::StrCat("batch ", s.batch, " seq ", s.seq, " heads ", s.heads,
                      "/", s.v_heads, " d_k ", s.d_k, " d_v ", s.d_v);
}

void ExpectMeetsContract(const RecurrenceOutputs& actual,
                         const RecurrenceShape& shape,
                         const RecurrenceInputs& in) {
  SCOPED_TRACE(Describe(shape));
  const RecurrenceOutputs fp64 = RecurrenceReference<double>(shape, in);
  const RecurrenceOutputs recurrent = RecurrenceReference<float>(shape, in);
  const RecurrenceOutputs chunked =
      RecurrencePlainChunked(shape, in, DType::kF32);
  const auto a = Fields(actual), f = Fields(fp64);
  const auto p = Fields(recurrent), c = Fields(chunked);
  ASSERT_EQ(a.size(), f.size());
  for (size_t i = 0; i < f.size(); ++i) {
    ASSERT_EQ(a[i].first, f[i].first);
    const auto& plain = testing::RmsRatio(*p[i].second, *f[i].second) >
                                testing::RmsRatio(*c[i].second, *f[i].second)
                            ? *p[i].second
                            : *c[i].second;
    EXPECT_TRUE(
        testing::MeetsContract(*a[i].second, plain, *f[i].second, DType::kF32))
        << f[i].first;
  }
}

void ExpectGradientIsFiniteDifference(const RecurrenceShape& shape,
                                      const RecurrenceInputs& in) {
  const RecurrenceOutputs out = RecurrenceReference<double>(shape, in);
  const auto check = [&](std::vector<double> RecurrenceInputs::*member,
                         const std::vector<double>& gradient) {
    const auto loss = [&](const std::vector<double>& x) {
      RecurrenceInputs moved = in;
      moved.*member = x;
      moved.dout.clear();
      const RecurrenceOutputs y = RecurrenceReference<double>(shape, moved);
      double sum = 0;
      for (size_t i = 0; i < y.o.size(); ++i) sum += y.o[i] * in.dout[i];
      for (size_t i = 0; i < in.dfinal_state.size(); ++i) {
        sum += y.final_state[i] * in.dfinal_state[i];
      }
      return sum;
    };
    // Second-order differences in fp64 with step 1e-5: about 1e-10.
    EXPECT_TRUE(testing::Near(
        gradient, testing::FiniteDifferences(loss, in.*member), 1e-8));
  };
  check(&RecurrenceInputs::q, out.dq);
  check(&RecurrenceInputs::k, out.dk);
  check(&RecurrenceInputs::v, out.dv);
  check(&RecurrenceInputs::beta, out.dbeta);
  if (in.decay != Decay::kHead) check(&RecurrenceInputs::g, out.dg);
  check(&RecurrenceInputs::initial_state, out.dinitial_state);
}

void ExpectGradientPassesBetweenSegments(const RecurrenceShape& whole,
                                         const RecurrenceInputs& in,
                                         int64_t cut,
                                         const RunRecurrenceFunction& run) {
  LT2_CHECK(whole.batch == 1, "results are joined along the sequence");
  RecurrenceShape left = whole, right = whole;
  left.seq = cut;
  right.seq = whole.seq - cut;
  RecurrenceInputs a = SliceTokens(whole, in, 0, cut);
  RecurrenceInputs b = SliceTokens(whole, in, cut, whole.seq);
  b.initial_state = run(left, a).final_state;
  const RecurrenceOutputs y = run(right, b);
  a.dfinal_state = y.dinitial_state;
  const RecurrenceOutputs x = run(left, a);
  RecurrenceOutputs joined = y;
  joined.dinitial_state = x.dinitial_state;
  for (const auto member :
       {&RecurrenceOutputs::o, &RecurrenceOutputs::dq, &RecurrenceOutputs::dk,
        &RecurrenceOutputs::dv, &RecurrenceOutputs::dbeta,
        &RecurrenceOutputs::dg}) {
    joined.*member = x.*member;
    (joined.*member)
        .insert((joined.*member).end(), (y.*member).begin(), (y.*member).end());
  }
  ExpectMeetsContract(joined, whole, in);
}

void ExpectNearRecorded(const RecurrenceRecorded& recorded,
                        const RecurrenceOutputs& actual, double limit) {
  SCOPED_TRACE(recorded.name);
  const auto find = [&](const std::string& name) {
    for (const auto& [other, values] : Fields(actual)) {
      if (other == name) return values;
    }
    return static_cast<const std::vector<double>*>(nullptr);
  };
  const auto fields = Fields(recorded.outputs);
  EXPECT_GE(fields.size(), 5u);
  for (const auto& [name, values] : fields) {
    const std::vector<double>* found = find(name);
    ASSERT_NE(found, nullptr) << name;
    EXPECT_TRUE(testing::Near(*found, *values, limit)) << name;
  }
  if (recorded.f.empty()) return;
  std::vector<double> df(recorded.f.size());
  for (size_t i = 0; i < df.size(); ++i) {
    const double s = 1 / (1 + std::exp(-recorded.f[i]));
    df[i] = (1 - s) * (actual.dg[i] - s * actual.dk[i]);
  }
  EXPECT_TRUE(testing::Near(df, recorded.df, limit)) << "df";
}

}  // namespace lt2::kernels
