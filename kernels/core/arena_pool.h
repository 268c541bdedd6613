// ArenaPool: memory that belongs to one captured piece of work.
//
// A CUDA graph writes to the addresses that its work got when it was captured.
// Given back to the arena, they could become somebody else's tensor that lives
// across a launch, which would overwrite it. Work that allocates under a pool
// gets its memory from there and leaves it there, for that work alone:
//
//   ArenaPool pool;
//   {
//     ArenaPool::Scope scope(&pool);
//     LT2_RETURN_IF_ERROR(work());              // fills the pool
//     LT2_ASSIGN_OR_RETURN(graph, CudaGraph::Capture(ctx, work));
//   }
//
// The same work allocates in the same order, so that the capture finds all it
// needs in the pool and asks the device for nothing, which it may not. Within
// the work memory is reused as ever. The pool must live as long as the graph.

#ifndef LT2_KERNELS_CORE_ARENA_POOL_H_
#define LT2_KERNELS_CORE_ARENA_POOL_H_

#include <cstdint>

namespace lt2 {

// Defined in arena.cc, which knows what a pool is.
namespace internal {
struct PoolBlocks;
PoolBlocks* NewPool();
void DeletePool(PoolBlocks* pool);
int64_t PoolBytes(const PoolBlocks* pool);
// Returns the one before.
PoolBlocks* SetCurrentPool(PoolBlocks* pool);
}  // namespace internal

class ArenaPool {
 public:
  ArenaPool() : blocks_(internal::NewPool()) {}
  // Gives the memory back to the arena.
  ~ArenaPool() { internal::DeletePool(blocks_); }
  ArenaPool(const ArenaPool&) = delete;
  ArenaPool& operator=(const ArenaPool&) = delete;

  // Bytes that the pool holds and nobody uses now.
  int64_t bytes() const { return internal::PoolBytes(blocks_); }

  // While alive, arenas on this thread allocate from the pool first, and blocks
  // given back on this thread go to it. One arena to a pool; scopes nest.
  class Scope {
   public:
    explicit Scope(ArenaPool* pool)
        : outer_(internal::SetCurrentPool(pool->blocks_)) {}
    ~Scope() { internal::SetCurrentPool(outer_); }
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    internal::PoolBlocks* const outer_;
  };

 private:
  internal::PoolBlocks* const blocks_;
};

}  // namespace lt2

#endif  // LT2_KERNELS_CORE_ARENA_POOL_H_
