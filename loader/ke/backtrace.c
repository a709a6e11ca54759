/*
 * Backtraces through images, native code and gates (ke_backtrace(), unwind.h).
 *
 * Frames of i386 images, and of x86-64 ones without function tables, leave no way but guessing. A
 * frame pointer is believed while it points up the stack to a return address that lies in code;
 * where it does not, the next word that looks like a return address into an image is taken. So a
 * leaf function may be missed or an old address be listed.
 */
#include "loader/ke/cfi.h"
#include "loader/ke/fault.h"
#include "loader/ke/native.h"
#include "loader/ke/report.h"
#include "loader/ke/thread.h"
#include "loader/ke/unwind.h"
#include "loader/ldr/gate.h"
#include "loader/ldr/imagemap.h"

struct walk {
    struct ke_context context;
    bool exact; /* the program counter was interrupted, it is no return address */
    const struct ldr_gate *gate;
};

static bool read_stack(uintptr_t address, void *out, size_t size)
{
    const struct ke_teb *teb = ke_current ? ke_current->teb : NULL;
    return teb && address >= (uintptr_t)teb->StackLimit && address < (uintptr_t)teb->StackBase &&
           size <= (uintptr_t)teb->StackBase - address && ke_peek(address, out, size) == size;
}

/* Where the return address of the outermost image frame lies. */
static uintptr_t gate_of(const struct walk *walk)
{
    return walk->gate ? walk->gate->low : UINTPTR_MAX;
}

/* Whether a word at `at` may be the return address of an image's frame. */
static bool may_return(const struct walk *walk, uintptr_t at, uintptr_t word)
{
    return at == gate_of(walk) || ke_is_return_address(word) ||
           (!ldr_image_at(word, NULL) && ke_cfi_function(word - 1));
}

static void return_to(struct walk *walk, uintptr_t at, uintptr_t word)
{
    KE_CONTEXT_PC(&walk->context) = word;
    KE_CONTEXT_SP(&walk->context) = at + sizeof(word);
}

/* Looks for a word that is a return address into an image, in a window above the stack pointer. */
static bool step_by_scan(struct walk *walk)
{
    enum { WORDS = 1024 };
    uintptr_t at = KE_CONTEXT_SP(&walk->context) & ~(sizeof(uintptr_t) - 1), word;
    for (int i = 0; i < WORDS && read_stack(at, &word, sizeof(word)); i++, at += sizeof(word)) {
        if (at == gate_of(walk) || ke_is_return_address(word)) {
            return_to(walk, at, word);
            return true;
        }
    }
    return false;
}

#ifdef __x86_64__

/* Code without a table is a leaf, or an image that has none. */
static bool step_leaf(struct walk *walk)
{
    uintptr_t at = walk->context.Rsp, word;
    if (!read_stack(at, &word, sizeof(word)) || !may_return(walk, at, word))
        return step_by_scan(walk);
    return_to(walk, at, word);
    return true;
}

static bool step_image(struct walk *walk)
{
    struct ke_context *context = &walk->context;
    uint64_t base = 0, establisher = 0, before = context->Rsp;
    void *handler_data;
    const struct ke_runtime_function *function =
        ke_lookup_function_entry(context->Rip, &base, NULL);
    if (!function)
        return step_leaf(walk);
    ke_virtual_unwind(KE_UNW_FLAG_NHANDLER, base, context->Rip, function, context, &handler_data,
                      &establisher, NULL);
    return context->Rip && context->Rsp > before;
}

#else

/* [ebp] is the caller's ebp, [ebp + 4] the return address. */
static bool step_image(struct walk *walk)
{
    struct ke_context *context = &walk->context;
    uint32_t ebp = context->Ebp, words[2];
    if (ebp < context->Esp || ebp >= gate_of(walk) || ebp % 4 ||
        !read_stack(ebp, words, sizeof(words)) || !may_return(walk, ebp + 4, words[1]))
        return step_by_scan(walk);
    context->Ebp = words[0];
    return_to(walk, ebp + 4, words[1]);
    return true;
}

#endif

/* One frame outwards. */
static bool step(struct walk *walk)
{
    struct ke_context *context = &walk->context;
    if (walk->gate && KE_CONTEXT_SP(context) > walk->gate->low) {
        ke_native_leave_gate(walk->gate, context);
        walk->gate = walk->gate->outer;
        walk->exact = false;
        return true;
    }
    if (ldr_image_at(KE_CONTEXT_PC(context), NULL)) {
        walk->exact = false;
        return step_image(walk);
    }
    if (ke_is_stub(KE_CONTEXT_PC(context)) &&
        ke_fault_stub_context(KE_CONTEXT_PC(context), KE_CONTEXT_SP(context), context)) {
        walk->exact = true;
        return true;
    }
    uintptr_t function;
    return ke_cfi_step(context, &walk->exact, &function);
}

uint32_t ke_backtrace(const struct ke_context *context, uintptr_t *out, uint32_t capacity)
{
    struct walk walk = {.context = *context, .exact = true, .gate = ldr_gate_current()};
    uint32_t count = 0;
    while (count < capacity && step(&walk))
        if (KE_CONTEXT_PC(&walk.context) != (uintptr_t)ldr_gate_return) /* says nothing */
            out[count++] = KE_CONTEXT_PC(&walk.context);
    return count;
}
