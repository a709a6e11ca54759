/*
 * A walk over the frames of an x86-64 thread, images' and native ones', for search and unwind.
 *
 * Where memory that is no image's and no native code's has no table either, its functions count as
 * leaves, as on Windows: code that a program made, or the target of a wild jump.
 */
#include "loader/ke/fault.h"
#include "loader/ke/native.h"
#include "loader/ke/probe.h"
#include "loader/ke/thread.h"
#include "loader/ke/unwind_x64.h"
#include "loader/ldr/gate.h"
#include "loader/ldr/imagemap.h"

#ifdef __x86_64__

bool ke_walk_is_frame(uint64_t establisher)
{
    const struct ke_teb *teb = ke_current ? ke_current->teb : NULL;
    return establisher % 8 == 0 && (!teb || (establisher >= (uintptr_t)teb->StackLimit &&
                                             establisher < (uintptr_t)teb->StackBase));
}

static enum ke_walk_step is_frame(struct ke_walk *walk)
{
    walk->function = ke_lookup_function_entry(walk->context.Rip, &walk->image_base, NULL);
    return KE_WALK_FRAME;
}

/* Code that a program made and registered a table for. */
static bool is_dynamic(struct ke_walk *walk)
{
    walk->function = ke_lookup_function_entry(walk->context.Rip, &walk->image_base, NULL);
    return walk->function != NULL;
}

/* A context that a stub keeps must lead outwards. */
static bool replace(struct ke_walk *walk, const struct ke_context *by, bool exact)
{
    if (by->Rsp <= walk->context.Rsp)
        return false;
    walk->context = *by;
    walk->exact = exact;
    return true;
}

/* Native code without a gate below ends at the host's frames. */
static bool may_be_leaf(const struct ke_walk *walk)
{
    return ldr_gate_current() && ke_walk_is_frame(walk->context.Rsp);
}

/* What is at a stub: true, with the walk behind it or with `*step`. */
static bool at_stub(struct ke_walk *walk, enum ke_walk_step *step)
{
    uintptr_t argument;
    struct ke_context context;
    *step = KE_WALK_STUB;
    walk->stub = ke_stub_at(&walk->context, &argument);
    switch (walk->stub) {
    case KE_STUB_SEARCH:
    case KE_STUB_UNWIND:
        return ke_probe(&walk->call, argument, sizeof(walk->call));
    case KE_STUB_CONSOLIDATE:
        *step = KE_WALK_FRAME;
        return ke_probe(&context, argument, sizeof(context)) && replace(walk, &context, false);
    default:
        *step = KE_WALK_FRAME;
        return ke_fault_stub_context(walk->context.Rip, walk->context.Rsp, &context) &&
               replace(walk, &context, true);
    }
}

enum ke_walk_step ke_walk_find(struct ke_walk *walk)
{
    uint64_t before;
    do {
        enum ke_walk_step step;
        const struct ldr_gate *gate = ldr_gate_current();
        before = walk->context.Rsp;
        if (gate && before > gate->low)
            return KE_WALK_GATE;
        if (ldr_image_at(walk->context.Rip, NULL) || is_dynamic(walk))
            return is_frame(walk);
        switch (ke_native_skip(&walk->context, walk->exact, &walk->where)) {
        case KE_NATIVE_STUB:
            if (!at_stub(walk, &step))
                return KE_WALK_BOTTOM;
            if (step == KE_WALK_STUB)
                return step;
            break;
        case KE_NATIVE_GATE:
            return KE_WALK_GATE;
        case KE_NATIVE_HOST:
            return KE_WALK_HOST;
        case KE_NATIVE_IMAGE:
            walk->exact = false;
            return is_frame(walk);
        case KE_NATIVE_BOTTOM:
            walk->function = NULL;
            walk->image_base = 0;
            if (is_dynamic(walk))
                return KE_WALK_FRAME;
            return may_be_leaf(walk) ? KE_WALK_FRAME : KE_WALK_BOTTOM;
        }
    } while (walk->context.Rsp > before);
    return KE_WALK_BOTTOM;
}

bool ke_walk_leave_stub(struct ke_walk *walk)
{
    uintptr_t function;
    uint64_t sp = walk->context.Rsp;
    walk->exact = false;
    /* Most walks are unwinds that a handler asks for: the search has stepped over the native code
     * between it and the image that raised the exception, so it need not be done again. */
    if (walk->call.outer &&
        ke_probe(&walk->context, (uintptr_t)walk->call.outer, sizeof(walk->context)))
        return walk->context.Rsp > sp;
    return ke_cfi_step(&walk->context, &walk->exact, &function);
}

#endif
