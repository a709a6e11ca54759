/*
 * Signals that the processor's faults become: whose they are, and the way out of the handler.
 *
 * A fault is an image's when it happened in an image, in memory that an image has allocated, by a
 * jump out of one of them into nowhere, or in native code that one of them called (ke/native.h).
 * Such a fault becomes an exception on the thread's own stack (fault.h); every other one goes to
 * the handler that was there before, as if this one did not exist.
 *
 * The handler takes no lock, since the thread may have been interrupted inside of any. It runs on
 * the alternate stack of the thread; a thread of the host that is not attached yet may have none,
 * then the frame goes below the handler's own. sigaction(2), signal(7).
 */
#include "loader/ke/fault.h"

#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <x86intrin.h>

#include "loader/ke/native.h"
#include "loader/ke/probe.h"
#include "loader/ke/process.h"
#include "loader/ke/report.h"
#include "loader/ke/stackguard.h"
#include "loader/ke/thread.h"
#include "loader/ke/ucontext.h"
#include "loader/ldr/gate.h"
#include "loader/ldr/imagemap.h"
#include "loader/mm/data.h"
#include "loader/ob/process.h"
#include "loader/stack.h"

#define RED_ZONE    128u /* System V ABI, x86-64: below the stack pointer, still in use */
#define ROOM        4096u
#define FRAME_MARK  UINT64_C(0x6d61726674756166)
#define EFLAGS_TF   0x100u
#define EFLAGS_DF   0x400u
#define EFLAGS_AC   UINT32_C(0x40000)
#define ERROR_WRITE 2u /* of the page fault's error code (SDM, volume 3, 4.7) */
#define ERROR_FETCH 16u

static const int numbers[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP};
#define SIGNALS (sizeof(numbers) / sizeof(numbers[0]))
static struct sigaction previous[SIGNALS];

static uintptr_t get_register(const ucontext_t *host, int number)
{
    return (uintptr_t)host->uc_mcontext.gregs[number];
}

/* ---- what happened --------------------------------------------------------------------------- */

void ke_fault_read(struct ke_fault *fault, const siginfo_t *info, const ucontext_t *host)
{
    uintptr_t error = get_register(host, REG_ERR);
    *fault = (struct ke_fault){
        .trap = (enum ke_trap)get_register(host, REG_TRAPNO),
        .access = error & ERROR_FETCH   ? KE_ACCESS_EXECUTE
                  : error & ERROR_WRITE ? KE_ACCESS_WRITE
                                        : KE_ACCESS_READ,
        .address = UINTPTR_MAX,
    };
    if (fault->trap == KE_TRAP_PAGE) {
        fault->address = (uintptr_t)info->si_addr;
        fault->end_of_file = info->si_signo == SIGBUS;
    }
}

/* ---- whose it is ------------------------------------------------------------------------------
 */

/* The part of the stack that may be read without care. */
static bool on_stack(uintptr_t address)
{
    const struct ke_teb *teb = ke_current ? ke_current->teb : NULL;
    return teb && address >= (uintptr_t)teb->StackLimit &&
           address <= (uintptr_t)teb->StackBase - sizeof(uintptr_t);
}

/* After a call into nowhere, its return address says who called. */
STACK_JUMPER static bool undo_wild_call(const struct ke_fault *fault, struct ke_context *context)
{
    uintptr_t sp = KE_CONTEXT_SP(context);
    if (fault->trap != KE_TRAP_PAGE || fault->address != KE_CONTEXT_PC(context) || !on_stack(sp))
        return false;
    KE_CONTEXT_PC(context) = *(const uintptr_t *)sp;
    KE_CONTEXT_SP(context) = sp + sizeof(uintptr_t);
    return true;
}

/* Code that an image has written itself counts as its own. */
static bool is_image_code(uintptr_t pc)
{
    return ldr_image_at(pc, NULL) || mm_is_allocation(pc);
}

static bool is_an_images(const struct ke_fault *fault, const ucontext_t *host)
{
    struct ke_context context = {0};
    uintptr_t where;
    ke_context_from_ucontext(&context, host, KE_CONTEXT_CONTROL | KE_CONTEXT_INTEGER);
    if (is_image_code(KE_CONTEXT_PC(&context)))
        return true;
    if (fault->trap == KE_TRAP_PAGE && fault->access != KE_ACCESS_WRITE &&
        ke_kuser_waits(fault->address))
        return true;
    bool exact = !undo_wild_call(fault, &context);
    if (!exact && (is_image_code(KE_CONTEXT_PC(&context)) ||
                   KE_CONTEXT_PC(&context) == (uintptr_t)ldr_gate_return))
        return true;
    enum ke_native found = ke_native_skip(&context, exact, &where);
    return found == KE_NATIVE_IMAGE || found == KE_NATIVE_STUB;
}

/* ---- the frame --------------------------------------------------------------------------------
 */

/* The floating-point state behind a ucontext: an FXSAVE image, on i386 an FSAVE image before it,
 * and as much more as the kernel's own words in it say (struct _fpx_sw_bytes). */
static size_t fp_size(const ucontext_t *host)
{
    enum { MAGIC_AT = 464, MAGIC = 0x46505853, MOST = 65536 };
    const char *at = (const char *)host->uc_mcontext.fpregs;
    const size_t header = KE_BY_WORD(0, 112), least = header + 512;
    uint32_t words[2];
    if (!at)
        return 0;
    memcpy(words, at + header + MAGIC_AT, sizeof(words));
    return words[0] == MAGIC && words[1] >= least && words[1] <= MOST ? words[1] : least;
}

/* A system call that writes 8 bytes answers whether memory can be written, and makes the first
 * thread's stack grow as an access would. */
static bool is_writable(uintptr_t low, uintptr_t high)
{
    for (uintptr_t at = low & ~(uintptr_t)4095; at < high; at += 4096)
        if (syscall(SYS_rt_sigprocmask, SIG_BLOCK, NULL, at < low ? low : at, 8) != 0)
            return false;
    return true;
}

static size_t frame_size(const ucontext_t *host)
{
    return sizeof(struct ke_fault_frame) + fp_size(host) + 2 * _Alignof(struct ke_fault_frame);
}

/* Copies the interrupted state below `top`; frame_size() bytes are writable there. */
static struct ke_fault_frame *push_frame(uintptr_t top, const struct ke_fault *fault,
                                         const siginfo_t *info, const ucontext_t *host)
{
    const uintptr_t mask = ~(uintptr_t)(_Alignof(struct ke_fault_frame) - 1);
    size_t size = fp_size(host), header = KE_BY_WORD(0, 112);
    /* XRSTOR wants the FXSAVE image aligned. */
    char *fp = (char *)(((top - size + header) & mask) - header);
    uintptr_t at = ((uintptr_t)fp - sizeof(struct ke_fault_frame)) & mask;
    struct ke_fault_frame *frame = (struct ke_fault_frame *)at;
    memset(frame, 0, sizeof(*frame));
    memcpy(&frame->host, host, offsetof(ucontext_t, uc_sigmask) + 8); /* the kernel's part */
    if (size) {
        memcpy(fp, host->uc_mcontext.fpregs, size);
        frame->host.uc_mcontext.fpregs = (void *)fp;
    }
#ifdef __i386__
    frame->number = info->si_signo;
    frame->info = *info;
    frame->info_at = &frame->info;
    frame->host_at = &frame->host;
#endif
    frame->mark = FRAME_MARK;
    frame->fault = *fault;
    return frame;
}

static void go_on_in_stub(ucontext_t *host, const struct ke_fault_frame *frame)
{
    greg_t *registers = host->uc_mcontext.gregs;
    registers[KE_FAULT_PC] = (greg_t)(uintptr_t)ke_fault_stub;
    registers[KE_FAULT_SP] = (greg_t)(uintptr_t)frame;
#ifdef __i386__
    registers[REG_UESP] = (greg_t)(uintptr_t)frame;
#endif
    registers[REG_EFL] &= ~(greg_t)(EFLAGS_TF | EFLAGS_DF | EFLAGS_AC);
}

bool ke_fault_stub_context(uintptr_t pc, uintptr_t sp, struct ke_context *out)
{
    const struct ke_fault_frame *frame = (const struct ke_fault_frame *)sp;
    if (pc < (uintptr_t)ke_fault_stub || pc >= (uintptr_t)ke_fault_stub_end ||
        sp % _Alignof(struct ke_fault_frame) != 0 || frame->mark != FRAME_MARK)
        return false;
    *out = frame->context;
    return true;
}

/* The stack has no room for an exception, or there is no stack: what is left is to say so. */
__attribute__((noreturn)) static void die(const struct ke_fault *fault, const ucontext_t *host)
{
    struct ke_exception_record record;
    struct ke_context context = {0};
    ke_context_from_ucontext(&context, host, KE_CONTEXT_ALL);
    ke_fault_record(fault, &context, &record);
    ke_report_crash(&record, NULL);
    ob_process_set_exit_code(record.ExceptionCode);
    _exit(ke_process_exit_status(record.ExceptionCode));
}

static bool is_inside(const stack_t *stack, uintptr_t address)
{
    return !(stack->ss_flags & SS_DISABLE) && address - (uintptr_t)stack->ss_sp < stack->ss_size;
}

/* An exception that does not fit above the guard is an overflow, whatever it was before. */
static bool make_room(struct ke_fault *fault, uintptr_t low, uintptr_t high)
{
    if (is_writable(low, high))
        return true;
    bool has_room = ke_stack_overflow(low, high) || ke_stack_grow(low);
    if (fault->stack_overflow || !has_room || !is_writable(low, high))
        return false;
    *fault = (struct ke_fault){
        .trap = KE_TRAP_PAGE, .access = KE_ACCESS_WRITE, .address = low, .stack_overflow = true};
    return true;
}

/* No sanitizer: what alloca() reserves is used after the return. */
STACK_JUMPER static void make_exception(struct ke_fault *fault, const siginfo_t *info,
                                        ucontext_t *host)
{
    uintptr_t here = (uintptr_t)__builtin_frame_address(0);
    uintptr_t sp = get_register(host, KE_FAULT_SP), top = sp - RED_ZONE;
    size_t size = frame_size(host);
    if (is_inside(&host->uc_stack, here)) {
        /* Code of the host that faults on its own alternate stack comes here when it is an
         * image's: its frame would overwrite this one. */
        if (is_inside(&host->uc_stack, sp) || !make_room(fault, top - size - ROOM, top))
            die(fault, host);
    } else {
        top = (uintptr_t)__builtin_alloca(size) + size;
    }
    go_on_in_stub(host, push_frame(top, fault, info, host));
}

/* ---- the handler ------------------------------------------------------------------------------
 */

/* Host code that an image called has no one else to say who called it. */
static void report(const struct ke_fault *fault, const ucontext_t *host)
{
    struct ke_text text = {.length = 0};
    uintptr_t caller = ke_find_caller(get_register(host, KE_FAULT_SP));
    if (!caller || fault->trap != KE_TRAP_PAGE)
        return;
    ke_text_put(&text, fault->access == KE_ACCESS_WRITE ? "access violation writing "
                                                        : "access violation reading ");
    ke_text_hex(&text, fault->address);
    ke_text_put(&text, " in host code called from ");
    ke_text_address(&text, caller);
    ke_text_report(&text);
}

/* The action comes by itself when the instruction faults again. */
static void default_action(int number, const siginfo_t *info, const ucontext_t *host)
{
    struct sigaction action = {.sa_handler = SIG_DFL};
    struct ke_fault fault;
    sigaction(number, &action, NULL); /* first, so that a fault of the report itself ends it */
    ke_fault_read(&fault, info, host);
    if (info->si_code > 0)
        report(&fault, host);
    if (info->si_code <= 0 || fault.trap == KE_TRAP_BREAKPOINT || fault.trap == KE_TRAP_DEBUG)
        raise(number); /* nothing will fault again */
}

static void call_previous(int number, siginfo_t *info, void *opaque)
{
    const struct sigaction *before = NULL;
    for (size_t i = 0; i < SIGNALS; i++)
        if (numbers[i] == number)
            before = &previous[i];
    if (!before)
        return;
    if (before->sa_handler == SIG_DFL || (before->sa_handler == SIG_IGN && info->si_code > 0)) {
        default_action(number, info, opaque);
        return;
    }
    if (before->sa_handler == SIG_IGN)
        return;
    sigset_t blocked = before->sa_mask, mask;
    if (!(before->sa_flags & SA_NODEFER))
        sigaddset(&blocked, number);
    sigprocmask(SIG_BLOCK, &blocked, &mask);
    if (before->sa_flags & SA_SIGINFO)
        before->sa_sigaction(number, info, opaque);
    else
        before->sa_handler(number);
    sigprocmask(SIG_SETMASK, &mask, NULL);
}

__attribute__((noinline)) static void handle(int number, siginfo_t *info, void *opaque)
{
    int saved = errno;
    struct ke_fault fault;
    uintptr_t pc = get_register(opaque, KE_FAULT_PC);
    ke_fault_read(&fault, info, opaque);
    /* Whoever's access it is: the page is there for everyone. */
    if (info->si_code > 0 && fault.trap == KE_TRAP_PAGE && !fault.end_of_file &&
        mm_commit_fault(fault.address, fault.access)) {
        errno = saved;
        return;
    }
    if (info->si_code > 0 && ke_probe_fault(&pc)) {
        ((ucontext_t *)opaque)->uc_mcontext.gregs[KE_FAULT_PC] = (greg_t)pc;
        return;
    }
    /* A stack of the loader's own is only an image's to overflow, whoever's function did it. */
    if (info->si_code > 0 && fault.trap == KE_TRAP_PAGE && fault.access != KE_ACCESS_EXECUTE)
        fault.stack_overflow = ke_stack_overflow(fault.address, get_register(opaque, KE_FAULT_SP));
    if (info->si_code > 0 && (fault.stack_overflow || is_an_images(&fault, opaque)))
        make_exception(&fault, info, opaque);
    else
        call_previous(number, info, opaque);
    errno = saved;
}

/* The alignment check is the one flag that Linux leaves on here, and compiled code is not made for
 * it; a sanitizer's least of all. */
STACK_JUMPER static void on_fault(int number, siginfo_t *info, void *opaque)
{
    __writeeflags(__readeflags() & ~EFLAGS_AC);
    handle(number, info, opaque);
}

void ke_fault_install(void)
{
    /* NODEFER: handlers of exceptions run outside of the signal and may fault themselves. */
    struct sigaction action = {.sa_sigaction = on_fault,
                               .sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK};
    for (size_t i = 0; i < SIGNALS; i++) {
        struct sigaction before;
        sigaction(numbers[i], &action, &before);
        if (before.sa_sigaction != on_fault) /* in front of itself it would call itself for ever */
            previous[i] = before;
    }
}
