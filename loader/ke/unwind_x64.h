/*
 * What the files of x86-64 unwinding share (unwind.h is for the others).
 */
#ifndef KE_UNWIND_X64_H
#define KE_UNWIND_X64_H

#include "loader/ke/unwind.h"

#ifdef __x86_64__

/* Linked unwind information: Windows's own bound. */
#define KE_UNWIND_CHAIN_MAX 32u

/* UNWIND_INFO with its codes, copied out of the image, and where its tail lies. */
struct ke_unwind_info {
    uint8_t version, flags, prolog, count, frame_register;
    uint32_t frame_offset; /* bytes */
    uint16_t codes[256];
    uint64_t tail; /* address of the handler's RVA, or of the linked function entry */
};

/* A function entry, copied, with the bounds in which what it names must lie. */
struct ke_function {
    struct ke_runtime_function entry;
    uint64_t image_base, image_size; /* size 0: a dynamic table, whatever can be read */
};

/* Copies `entry`; false when it cannot be read, or makes no sense. */
bool ke_function_read(struct ke_function *out, uint64_t image_base,
                      const struct ke_runtime_function *entry);
/* The unwind information of a function; false when it is not there or of an unknown version. */
bool ke_unwind_info_read(const struct ke_function *function, struct ke_unwind_info *out);
/* Replaces `function` by the one that its information is linked to. */
bool ke_function_follow(struct ke_function *function, const struct ke_unwind_info *info);

/* The general register `number`, 0 (rax) to 15. */
uint64_t *ke_context_register(struct ke_context *context, unsigned number);

/* One frame's part of a walk; `context` is the caller's afterwards. */
struct ke_virtual_frame {
    uint64_t establisher;
    ke_language_handler handler; /* NULL: none of the kind asked for */
    void *handler_data;
};
/*
 * RtlVirtualUnwind that says whether it could: tables or a stack that make no sense leave `context`
 * in any state.
 */
bool ke_virtual_step(uint32_t handler_type, uint64_t image_base, uint64_t pc,
                     const struct ke_runtime_function *function, struct ke_context *context,
                     struct ke_virtual_frame *frame, struct ke_context_pointers *pointers);
/* A function without a table entry has its return address on top of the stack. */
bool ke_leaf_step(struct ke_context *context);

/*
 * When `pc` is in an epilogue: runs what is left of it, the return included. `*done` says whether
 * it was; false when the stack cannot be read.
 */
bool ke_epilog_step(const struct ke_function *function, const struct ke_unwind_info *info,
                    uint64_t pc, struct ke_context *context, struct ke_context_pointers *pointers,
                    bool *done);
/* Takes a register off the stack. */
bool ke_unwind_pop(struct ke_context *context, unsigned number,
                   struct ke_context_pointers *pointers);

/* ---- stubs (stubs_x64.c) ------------------------------------------------------------------------
 */

/* What a walk that comes to a stub is told. */
struct ke_stub_call {
    struct ke_dispatcher_context dispatcher; /* the handler's; first */
    const struct ke_context
        *outer; /* the frame behind all native code of the dispatch; may be NULL */
};
/* Calls call->dispatcher.LanguageHandler, in the search for a handler and in an unwind. */
enum ke_disposition ke_stub_search(struct ke_exception_record *record, uint64_t frame,
                                   struct ke_context *context, struct ke_stub_call *call);
enum ke_disposition ke_stub_unwind(struct ke_exception_record *record, uint64_t frame,
                                   struct ke_context *context, struct ke_stub_call *call);
/* Calls a function of STATUS_UNWIND_CONSOLIDATE; a walk over it goes on with `context`. */
uint64_t ke_stub_consolidate(uint64_t function, struct ke_exception_record *record,
                             const struct ke_context *context);

enum ke_stub {
    KE_STUB_SEARCH,
    KE_STUB_UNWIND,
    KE_STUB_CONSOLIDATE,
    KE_STUB_OTHER,
};
/* Which of them a context at a stub is in; `*argument` gets the address of its
 * call or of its context. */
enum ke_stub ke_stub_at(const struct ke_context *context, uintptr_t *argument);

/* ---- walking (walk_x64.c) -----------------------------------------------------------------------
 */

enum ke_walk_step {
    KE_WALK_FRAME, /* `context` is in code of an image, or in code that has no frame at all */
    KE_WALK_STUB,  /* in a stub that called a language handler: `call` */
    KE_WALK_GATE,
    KE_WALK_HOST,
    KE_WALK_BOTTOM,
};

struct ke_walk {
    struct ke_context context;
    bool exact; /* context.Rip was interrupted there; else it is a return address */
    uintptr_t where;
    /* KE_WALK_FRAME */
    const struct ke_runtime_function *function; /* NULL: a leaf */
    uint64_t image_base;
    /* KE_WALK_STUB */
    enum ke_stub stub;
    struct ke_stub_call call;
};

/* Goes outwards over native frames, without a step over an image's one. */
enum ke_walk_step ke_walk_find(struct ke_walk *walk);
/* The context of the frame that a dispatcher was at. */
bool ke_dispatcher_context_of(const struct ke_dispatcher_context *dispatcher,
                              struct ke_context *out);
/* Steps over a stub of dispatch. */
bool ke_walk_leave_stub(struct ke_walk *walk);
/* Whether an establisher frame is on this thread's stack, as Windows wants it. */
bool ke_walk_is_frame(uint64_t establisher);

#endif
#endif
