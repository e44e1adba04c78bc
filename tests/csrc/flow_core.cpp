// Entry points of test_flow_core.py: each formula of csrc/flow/core maps one row of floats to another.
#include <cstdint>
#include <cstring>

#include "../../csrc/flow/core/grey.h"
#include "../../csrc/flow/core/interpolation.h"
#include "../../csrc/flow/core/patch.h"
#include "../../csrc/flow/core/refinement.h"
#include "../../csrc/flow/core/settings.h"

namespace slt_fast {
namespace {

// Takes the fields of structs of floats from a row, one after the other.
class Row {
 public:
  explicit Row(const float* values) : values_(values) {}
  template <class Struct>
  Struct next() {
    Struct result;
    std::memcpy(&result, values_, sizeof(Struct));
    values_ += sizeof(Struct) / sizeof(float);
    return result;
  }
  float number() { return *values_++; }
  int integer() { return static_cast<int>(*values_++); }
  uint8_t byte() { return static_cast<uint8_t>(*values_++); }

 private:
  const float* values_;
};

template <class Struct>
void put(const Struct& fields, float* out) {
  std::memcpy(out, &fields, sizeof(Struct));
}

void put_corner(const Corner& corner, float* out) {
  out[0] = static_cast<float>(corner.y);
  out[1] = static_cast<float>(corner.x);
  std::memcpy(out + 2, &corner.top_left, 4 * sizeof(float));
}

using Real = float;

// Each takes its arguments in the order of the formula.
struct Formula {
  const char* name;
  int inputs, outputs;
  void (*compute)(Row row, float* out);
};

const Formula kFormulas[] = {
    {"grey", 3, 1,
     [](Row row, float* out) {
       const uint8_t red = row.byte(), green = row.byte(), blue = row.byte();
       *out = grey(red, green, blue);
     }},
    {"clamped", 3, 1,
     [](Row row, float* out) {
       const float value = row.number(), low = row.number(), high = row.number();
       *out = clamped(value, low, high);
     }},
    {"corner_of", 2, 6,
     [](Row row, float* out) {
       const float y = row.number(), x = row.number();
       put_corner(corner_of(y, x), out);
     }},
    {"weighted", 8, 1,
     [](Row row, float* out) {
       Corner corner = {};
       for (float* weight : {&corner.top_left, &corner.top_right, &corner.bottom_left, &corner.bottom_right}) {
         *weight = row.number();
       }
       const float a = row.number(), b = row.number(), c = row.number(), d = row.number();
       *out = weighted(corner, a, b, c, d);
     }},
    {"between", 6, 1,
     [](Row row, float* out) {
       const float a = row.number(), b = row.number(), c = row.number(), d = row.number();
       const float right = row.number(), down = row.number();
       *out = between(a, b, c, d, right, down);
     }},
    {"position_on_coarser", 3, 1,
     [](Row row, float* out) {
       const float pixel = row.number(), scale = row.number();
       *out = position_on_coarser(pixel, scale, row.integer());
     }},
    {"halved", 4, 1,
     [](Row row, float* out) {
       const float a = row.number(), b = row.number(), c = row.number(), d = row.number();
       *out = halved(a, b, c, d);
     }},
    {"sobel", 6, 1,
     [](Row row, float* out) {
       float values[6];
       for (float& value : values) value = row.number();
       *out = sobel(values[0], values[1], values[2], values[3], values[4], values[5]);
     }},
    {"central", 2, 1,
     [](Row row, float* out) {
       const float before = row.number(), after = row.number();
       *out = central(before, after);
     }},
    {"compared", 2, 2,
     [](Row row, float* out) {
       const float first = row.number();
       put(compared(first, row.number()), out);
     }},
    {"larger", 2, 1,
     [](Row row, float* out) {
       const float a = row.number(), b = row.number();
       *out = larger(a, b);
     }},
    {"step_of", 5, 5, [](Row row, float* out) { put(step_of(row.next<PatchSums>()), out); }},
    {"patch_corner", 6, 6,
     [](Row row, float* out) {
       const int y = row.integer(), x = row.integer();
       const Motion motion = row.next<Motion>();
       const int height = row.integer(), width = row.integer();
       put_corner(patch_corner(y, x, motion, height, width), out);
     }},
    {"stepped", 9, 2,
     [](Row row, float* out) {
       const Motion motion = row.next<Motion>();
       const PatchStep step = row.next<PatchStep>();
       const float x = row.number(), y = row.number();
       put(stepped(motion, step, x, y), out);
     }},
    {"accepted", 4, 2,
     [](Row row, float* out) {
       const Motion found = row.next<Motion>(), start = row.next<Motion>();
       put(accepted(found, start), out);
     }},
    {"covering", 3, 2,
     [](Row row, float* out) {
       const int pixel = row.integer(), stride = row.integer();
       const Covering patches = covering(pixel, stride, row.integer());
       out[0] = static_cast<float>(patches.first);
       out[1] = static_cast<float>(patches.last);
     }},
    {"inner_position", 2, 1,
     [](Row row, float* out) {
       const float position = row.number();
       *out = inner_position(position, row.integer());
     }},
    {"motion_weight", 1, 1, [](Row row, float* out) { *out = motion_weight(row.number()); }},
    {"square_root", 1, 1, [](Row row, float* out) { *out = Math<Real>::square_root(row.number()); }},
    {"residuals_after", 10, 3,
     [](Row row, float* out) {
       const Derivatives<Real> derivatives = row.next<Derivatives<Real>>();
       const float du = row.number(), dv = row.number();
       put(residuals_after(derivatives, du, dv), out);
     }},
    {"quotient", 2, 1,
     [](Row row, float* out) {
       const float numerator = row.number();
       *out = quotient(numerator, Real(row.number()));
     }},
    {"penalty", 2, 1,
     [](Row row, float* out) {
       const float weight = row.number();
       *out = penalty(weight, row.number());
     }},
    {"data_equation", 11, 5,
     [](Row row, float* out) {
       const Derivatives<Real> derivatives = row.next<Derivatives<Real>>();
       put(data_equation(derivatives, row.next<Residuals<Real>>()), out);
     }},
    {"smoothness", 4, 1,
     [](Row row, float* out) {
       const float u_x = row.number(), u_y = row.number(), v_x = row.number(), v_y = row.number();
       *out = smoothness(u_x, u_y, v_x, v_y);
     }},
    {"pull", 8, 1,
     [](Row row, float* out) {
       const Edges<Real> edges = row.next<Edges<Real>>();
       const float centre = row.number();
       *out = pull(edges, centre, row.next<Neighbours<Real>>());
     }},
    {"relaxation_of", 19, 5,
     [](Row row, float* out) {
       const Equation<Real> data = row.next<Equation<Real>>();
       const Edges<Real> edges = row.next<Edges<Real>>();
       const float num_own = row.number(), u = row.number();
       const Neighbours<Real> us = row.next<Neighbours<Real>>();
       const float v = row.number();
       put(relaxation_of(data, edges, num_own, u, us, v, row.next<Neighbours<Real>>()), out);
     }},
    {"target", 8, 1,
     [](Row row, float* out) {
       const Edges<Real> edges = row.next<Edges<Real>>();
       const Neighbours<Real> values = row.next<Neighbours<Real>>();
       *out = target(edges, values, row.number());
     }},
    {"relax", 18, 2,
     [](Row row, float* out) {
       const Relaxation<Real> equation = row.next<Relaxation<Real>>();
       const Edges<Real> edges = row.next<Edges<Real>>();
       const Neighbours<Real> dus = row.next<Neighbours<Real>>(), dvs = row.next<Neighbours<Real>>();
       out[0] = row.number();
       out[1] = row.number();
       relax(equation, edges, dus, dvs, out[0], out[1]);
     }},
    {"levels_of", 3, 2,
     [](Row row, float* out) {
       const int height = row.integer(), width = row.integer();
       const Levels levels = levels_of(height, width, row.integer());
       out[0] = static_cast<float>(levels.finest);
       out[1] = static_cast<float>(levels.coarsest);
     }},
    {"patches_along", 2, 1,
     [](Row row, float* out) {
       const int length = row.integer();
       *out = static_cast<float>(patches_along(length, row.integer()));
     }},
};

}  // namespace
}  // namespace slt_fast

// The number of floats that a formula takes and returns; 0 for an unknown formula.
extern "C" int flow_core_inputs(const char* name) {
  for (const slt_fast::Formula& formula : slt_fast::kFormulas) {
    if (std::strcmp(formula.name, name) == 0) return formula.inputs;
  }
  return 0;
}

extern "C" int flow_core_outputs(const char* name) {
  for (const slt_fast::Formula& formula : slt_fast::kFormulas) {
    if (std::strcmp(formula.name, name) == 0) return formula.outputs;
  }
  return 0;
}

extern "C" void flow_core(const char* name, int64_t rows, const float* in, float* out) {
  for (const slt_fast::Formula& formula : slt_fast::kFormulas) {
    if (std::strcmp(formula.name, name) != 0) continue;
    for (int64_t i = 0; i < rows; ++i) {
      formula.compute(slt_fast::Row(in + i * formula.inputs), out + i * formula.outputs);
    }
  }
}
