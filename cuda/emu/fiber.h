// Stackful coroutines: one for each emulated CUDA thread. x86-64 and AArch64.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>

namespace omni::emu {

class Fiber {
 public:
  Fiber();
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  // From the scheduler: begins `body`, or goes on behind its last yield(); returns at the next
  // yield() or at the end of `body`.
  void start(const std::function<void()>* body);
  void resume();
  bool finished() const { return finished_; }
  // From the body: back to the scheduler.
  void yield();

 private:
  static void enter(Fiber* self);

  char* stack_ = nullptr;                        // mapped, with a guard page below
  void *here_ = nullptr, *scheduler_ = nullptr;  // stack pointers
  const std::function<void()>* body_ = nullptr;
  bool finished_ = true;
};

}  // namespace omni::emu
