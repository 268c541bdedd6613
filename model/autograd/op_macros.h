// For the files of operations.

#ifndef LT2_MODEL_AUTOGRAD_OP_MACROS_H_
#define LT2_MODEL_AUTOGRAD_OP_MACROS_H_

#include "model/autograd/tape.h"

// Inside an operation on a tape: keeps the error and returns an undefined Var.
#define LT2_TAPE_OP(tape, expr)                                 \
  do {                                                          \
    if (!(tape).ok()) return ::lt2::model::Var();               \
    const ::absl::Status lt2_op_status = (expr);                \
    if (!lt2_op_status.ok()) return (tape).Fail(lt2_op_status); \
  } while (false)

#endif  // LT2_MODEL_AUTOGRAD_OP_MACROS_H_
