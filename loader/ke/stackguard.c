/*
 * Stacks of images (see stackguard.h). TEB fields: facts about the stack in winternl's NT_TIB and
 * the documentation of GetCurrentThreadStackLimits, SetThreadStackGuarantee and _resetstkoflw.
 */
#include "loader/ke/stackguard.h"

#include <sys/resource.h>

#include "loader/ke/thread.h"
#include "loader/mm/snapshot.h"
#include "loader/mm/view.h"
#include "loader/stack.h"

/* glibc's functions are used to more stack than Windows promises its own. */
#define SIZE_MIN     (256u * 1024)
#define SIZE_DEFAULT (1024u * 1024)
#define GUARD        (64u * 1024)
#define NEAR         (256u * 1024) /* of the stack pointer, what a frame may touch */

#ifdef STACK_HAS_MARKS
void __sanitizer_start_switch_fiber(void **save, const void *bottom, size_t size);
void __sanitizer_finish_switch_fiber(void *saved, const void **old_bottom, size_t *old_size);
#endif

static uint64_t default_size(void)
{
    struct ldr_module *exe = ldr_find(NULL);
    uint64_t reserve = exe ? ldr_module_image(exe)->h.size_of_stack_reserve : 0;
    return reserve && reserve <= (SIZE_MAX >> 2) ? reserve : SIZE_DEFAULT;
}

nt_status ke_stack_create(uint64_t reserve, struct ke_stack *out, struct pe_error *err)
{
    uint64_t base = 0, size = reserve ? reserve : default_size(), at, rest;
    if (size < SIZE_MIN)
        size = SIZE_MIN;
    if (size > SIZE_MAX / 2)
        return pe_fail(err, STATUS_NO_MEMORY, "a stack of 0x%llx bytes", (unsigned long long)size);
    size = (size + PE_GRANULARITY - 1) & ~(uint64_t)(PE_GRANULARITY - 1);
    nt_status status = mm_alloc(&base, &size, MEM_RESERVE, PAGE_READWRITE, err);
    if (!nt_ok(status))
        return status;
    mm_exempt(base);
    at = base + PE_PAGE_SIZE;
    rest = size - PE_PAGE_SIZE;
    status = mm_alloc(&at, &rest, MEM_COMMIT, PAGE_READWRITE, err);
    if (!nt_ok(status)) {
        mm_free(base, 0, MEM_RELEASE, NULL);
        return status;
    }
    *out = (struct ke_stack){base, size};
    return STATUS_SUCCESS;
}

void ke_stack_free(const struct ke_stack *stack)
{
    if (stack->base == 0)
        return;
#ifdef STACK_HAS_MARKS /* of frames that were abandoned; the addresses will be somebody else's */
    __asan_unpoison_memory_region((void *)(uintptr_t)stack->base, (uintptr_t)stack->size);
#endif
    mm_free(stack->base, 0, MEM_RELEASE, NULL);
}

/* ---- switching ---------------------------------------------------------------------------------
 */

void ke_stack_switch(uintptr_t top, void (*function)(void *), void *argument);

/* A frame pointer is all that leads back, also for who unwinds. */
__asm__(".pushsection .text\n"
        ".hidden ke_stack_switch\n"
        ".globl ke_stack_switch\n"
        ".type ke_stack_switch, @function\n"
        "ke_stack_switch:\n"
        "    .cfi_startproc\n"
#ifdef __x86_64__
        "    push %rbp\n"
        "    .cfi_def_cfa_offset 16\n"
        "    .cfi_offset rbp, -16\n"
        "    mov %rsp, %rbp\n"
        "    .cfi_def_cfa_register rbp\n"
        "    mov %rdi, %rsp\n"
        "    mov %rdx, %rdi\n"
        "    call *%rsi\n"
        "    mov %rbp, %rsp\n"
        "    pop %rbp\n"
        "    .cfi_def_cfa rsp, 8\n"
#else
        "    push %ebp\n"
        "    .cfi_def_cfa_offset 8\n"
        "    .cfi_offset ebp, -8\n"
        "    mov %esp, %ebp\n"
        "    .cfi_def_cfa_register ebp\n"
        "    mov 8(%ebp), %esp\n"
        "    sub $12, %esp\n"
        "    push 16(%ebp)\n"
        "    call *12(%ebp)\n"
        "    mov %ebp, %esp\n"
        "    pop %ebp\n"
        "    .cfi_def_cfa esp, 4\n"
#endif
        "    ret\n"
        "    .cfi_endproc\n"
        ".size ke_stack_switch, . - ke_stack_switch\n"
        ".popsection\n");

struct call {
    void (*function)(void *);
    void *argument;
};

static void on_other_stack(void *opaque)
{
    struct call *call = opaque;
#ifdef STACK_HAS_MARKS
    const void *bottom;
    size_t size;
    void *saved = NULL;
    __sanitizer_finish_switch_fiber(NULL, &bottom, &size);
#endif
    call->function(call->argument);
#ifdef STACK_HAS_MARKS
    __sanitizer_start_switch_fiber(&saved, bottom, size);
#endif
}

void ke_stack_run(const struct ke_stack *stack, void (*function)(void *), void *argument)
{
    struct call call = {function, argument};
    if (stack->base == 0) {
        function(argument);
        return;
    }
#ifdef STACK_HAS_MARKS
    void *saved = NULL;
    __sanitizer_start_switch_fiber(&saved, (void *)(uintptr_t)stack->base, (size_t)stack->size);
#endif
    ke_stack_switch((uintptr_t)(stack->base + stack->size), on_other_stack, &call);
#ifdef STACK_HAS_MARKS
    __sanitizer_finish_switch_fiber(saved, NULL, NULL);
#endif
}

/* ---- the guard ---------------------------------------------------------------------------------
 */

static uint64_t guard_size(const struct ke_thread *thread)
{
    uint64_t size = GUARD + (uint64_t)thread->teb->GuaranteedStackBytes;
    return size <= thread->stack.size / 2 ? size : thread->stack.size / 2;
}

static bool arm(struct ke_thread *thread, uintptr_t sp)
{
    uint64_t base = thread->stack.base + PE_PAGE_SIZE, size = guard_size(thread);
    uint32_t old;
    if (thread->stack.base == 0)
        return true;
    if (sp >= base && sp < base + size + PE_PAGE_SIZE)
        return false;
    if (!nt_ok(mm_protect(&base, &size, PAGE_READWRITE | PAGE_GUARD, &old, NULL)))
        return false;
    thread->teb->StackLimit = (void *)(uintptr_t)(base + size);
    return true;
}

bool ke_stack_arm(void)
{
    return !ke_current || arm(ke_current, (uintptr_t)__builtin_frame_address(0));
}

struct ke_stack ke_stack_enter(struct ke_thread *thread, const struct ke_stack *stack)
{
    struct ke_stack before = thread->stack;
    thread->stack = *stack;
    if (stack->base) {
        thread->teb->DeallocationStack = (void *)(uintptr_t)stack->base;
        thread->teb->StackLimit = (void *)(uintptr_t)(stack->base + PE_PAGE_SIZE);
        thread->teb->StackBase = (void *)(uintptr_t)(stack->base + stack->size);
        arm(thread, 0);
    }
    return before;
}

/* The first thread's stack grows by faults until its limit: a little more of that. Once: whoever
 * overflows that as well has no end. */
bool ke_stack_grow(uintptr_t address)
{
    static bool grown;
    struct rlimit limit;
    const struct ke_teb *teb = ke_current ? ke_current->teb : NULL;
    if (!teb || ke_current->stack.base || teb->ThreadId != teb->ProcessId ||
        address >= (uintptr_t)teb->StackLimit || (uintptr_t)teb->StackLimit - address > NEAR ||
        getrlimit(RLIMIT_STACK, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY ||
        __atomic_exchange_n(&grown, true, __ATOMIC_RELAXED))
        return false;
    limit.rlim_cur += NEAR + GUARD;
    return setrlimit(RLIMIT_STACK, &limit) == 0;
}

bool ke_stack_overflow(uintptr_t address, uintptr_t sp)
{
    struct ke_thread *thread = ke_current;
    if (!thread || !thread->stack.base || sp > (uintptr_t)thread->teb->StackBase)
        return false;
    uint64_t base = thread->stack.base + PE_PAGE_SIZE;
    uint64_t limit = (uintptr_t)thread->teb->StackLimit;
    /* A program that brings its own _resetstkoflw() has put the guard where it likes. */
    if (limit <= base)
        limit = base + guard_size(thread);
    if (address < base || address >= limit || sp < thread->stack.base)
        return false;
    mm_guard_open(base, limit - base);
    thread->teb->StackLimit = (void *)(uintptr_t)base;
    return true;
}
