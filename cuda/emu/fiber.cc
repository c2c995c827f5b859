#include "emu/fiber.h"

#include <sys/mman.h>
#include <unistd.h>

#include <new>

// Saves the callee-saved registers on the stack, keeps the stack pointer in *from, and goes on
// where `to` was kept.
extern "C" void omni_emu_switch(void** from, void* to);
extern "C" void omni_emu_first();

#if defined(__x86_64__)
asm(R"(
.text
.globl omni_emu_switch
.type omni_emu_switch,@function
omni_emu_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.globl omni_emu_first
.type omni_emu_first,@function
omni_emu_first:
  movq %r12, %rdi
  callq *%r13
  ud2
)");
// six registers and the address to return to
constexpr size_t kFrame = 7;
// r12, r13, rip: places in the frame
constexpr size_t kArgument = 3, kFunction = 2, kReturn = 6;
#elif defined(__aarch64__)
asm(R"(
.text
.globl omni_emu_switch
.type omni_emu_switch,%function
omni_emu_switch:
  sub sp, sp, #160
  stp x19, x20, [sp]
  stp x21, x22, [sp, #16]
  stp x23, x24, [sp, #32]
  stp x25, x26, [sp, #48]
  stp x27, x28, [sp, #64]
  stp x29, x30, [sp, #80]
  stp d8, d9, [sp, #96]
  stp d10, d11, [sp, #112]
  stp d12, d13, [sp, #128]
  stp d14, d15, [sp, #144]
  mov x9, sp
  str x9, [x0]
  mov sp, x1
  ldp x19, x20, [sp]
  ldp x21, x22, [sp, #16]
  ldp x23, x24, [sp, #32]
  ldp x25, x26, [sp, #48]
  ldp x27, x28, [sp, #64]
  ldp x29, x30, [sp, #80]
  ldp d8, d9, [sp, #96]
  ldp d10, d11, [sp, #112]
  ldp d12, d13, [sp, #128]
  ldp d14, d15, [sp, #144]
  add sp, sp, #160
  ret
.globl omni_emu_first
.type omni_emu_first,%function
omni_emu_first:
  mov x0, x19
  blr x20
  brk #1
)");
constexpr size_t kFrame = 20;
constexpr size_t kArgument = 0, kFunction = 1, kReturn = 11;  // x19, x20, x30
#else
#error "the CUDA emulation has no stack switch for this processor"
#endif

namespace omni::emu {

namespace {
constexpr size_t kStack = 128 << 10;
}

Fiber::Fiber() {
  const auto page = size_t(::sysconf(_SC_PAGESIZE));
  void* p = ::mmap(nullptr, kStack + page, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (p == MAP_FAILED) throw std::bad_alloc();
  ::mprotect(p, page, PROT_NONE);
  stack_ = static_cast<char*>(p);
}

Fiber::~Fiber() { ::munmap(stack_, kStack + size_t(::sysconf(_SC_PAGESIZE))); }

void Fiber::enter(Fiber* self) {
  (*self->body_)();
  self->finished_ = true;
  self->yield();
}

void Fiber::start(const std::function<void()>* body) {
  body_ = body;
  finished_ = false;
  // omni_emu_first begins with an aligned stack
  auto* top = reinterpret_cast<void**>(stack_ + kStack + size_t(::sysconf(_SC_PAGESIZE))) - 2;
  void** frame = top - kFrame;
  for (size_t i = 0; i < kFrame; ++i) frame[i] = nullptr;
  frame[kArgument] = this;
  frame[kFunction] = reinterpret_cast<void*>(&Fiber::enter);
  frame[kReturn] = reinterpret_cast<void*>(&omni_emu_first);
  here_ = frame;
  resume();
}

void Fiber::resume() { omni_emu_switch(&scheduler_, here_); }
void Fiber::yield() { omni_emu_switch(&here_, scheduler_); }

}  // namespace omni::emu
