/*
 * RtlVirtualUnwind: undoing a function's prologue by its unwind codes.
 *
 * Source: Microsoft, "x64 exception handling", sections "struct UNWIND_INFO", "struct UNWIND_CODE"
 * and "Unwind procedure"; winnt.h for the numbers. Codes stand in the order that undoes them. All
 * that is read from images is copied first (probe.h) and checked to lie inside of the image.
 */
#include "loader/ke/unwind_x64.h"

#ifdef __x86_64__

#include "loader/ke/probe.h"
#include "loader/ldr/imagemap.h"

enum {
    OP_PUSH_NONVOL,
    OP_ALLOC_LARGE,
    OP_ALLOC_SMALL,
    OP_SET_FPREG,
    OP_SAVE_NONVOL,
    OP_SAVE_NONVOL_FAR,
    OP_EPILOG,
    OP_SPARE,
    OP_SAVE_XMM128,
    OP_SAVE_XMM128_FAR,
    OP_PUSH_MACHFRAME,
    OP_COUNT,
};

#define CODE_OFFSET(code) ((code)&0xFFu)
#define CODE_OP(code)     ((code) >> 8 & 0xFu)
#define CODE_INFO(code)   ((code) >> 12 & 0xFu)

/* ---- reading ----------------------------------------------------------------------------------
 */

static bool is_inside(const struct ke_function *function, uint64_t rva, uint64_t size)
{
    return function->image_size == 0 ||
           (rva <= function->image_size && size <= function->image_size - rva);
}

static bool read_image(const struct ke_function *function, uint64_t rva, void *out, size_t size)
{
    return is_inside(function, rva, size) && ke_probe(out, function->image_base + rva, size);
}

bool ke_function_read(struct ke_function *out, uint64_t image_base,
                      const struct ke_runtime_function *entry)
{
    struct ldr_image_range range;
    out->image_base = image_base;
    out->image_size = ldr_image_at(image_base, &range) && range.base == image_base ? range.size : 0;
    return ke_probe(&out->entry, (uintptr_t)entry, sizeof(out->entry)) &&
           out->entry.BeginAddress < out->entry.EndAddress &&
           is_inside(out, out->entry.EndAddress, 0);
}

bool ke_unwind_info_read(const struct ke_function *function, struct ke_unwind_info *out)
{
    uint8_t header[4];
    uint32_t rva = function->entry.UnwindData;
    if (!read_image(function, rva, header, sizeof(header)))
        return false;
    *out = (struct ke_unwind_info){
        .version = header[0] & 7,
        .flags = header[0] >> 3,
        .prolog = header[1],
        .count = header[2],
        .frame_register = header[3] & 0xF,
        .frame_offset = (header[3] >> 4) * 16u,
        .tail = function->image_base + rva + 4 + ((header[2] + 1u) & ~1u) * 2u,
    };
    return (out->version == 1 || out->version == 2) &&
           read_image(function, (uint64_t)rva + 4, out->codes, out->count * sizeof(uint16_t));
}

bool ke_function_follow(struct ke_function *function, const struct ke_unwind_info *info)
{
    return read_image(function, info->tail - function->image_base, &function->entry,
                      sizeof(function->entry));
}

/* ---- registers --------------------------------------------------------------------------------
 */

uint64_t *ke_context_register(struct ke_context *context, unsigned number)
{
    return &context->Rax + number; /* they stand in the processor's order */
}

static bool load_integer(struct ke_context *context, unsigned number, uint64_t from,
                         struct ke_context_pointers *pointers)
{
    uintptr_t value;
    if (!ke_probe_word(&value, from))
        return false;
    *ke_context_register(context, number) = value;
    if (pointers)
        pointers->Integer[number] = (uint64_t *)from;
    return true;
}

static bool load_xmm(struct ke_context *context, unsigned number, uint64_t from,
                     struct ke_context_pointers *pointers)
{
    if (!ke_probe(&context->FltSave.XmmRegisters[number], from, sizeof(struct ke_xmm)))
        return false;
    if (pointers)
        pointers->Xmm[number] = (struct ke_xmm *)from;
    return true;
}

bool ke_unwind_pop(struct ke_context *context, unsigned number,
                   struct ke_context_pointers *pointers)
{
    uint64_t from = context->Rsp;
    context->Rsp += 8; /* first: pop rsp loads it */
    return load_integer(context, number, from, pointers);
}

bool ke_leaf_step(struct ke_context *context)
{
    uintptr_t value;
    if (!ke_probe_word(&value, context->Rsp))
        return false;
    context->Rip = value;
    context->Rsp += 8;
    context->ContextFlags |= KE_CONTEXT_UNWOUND;
    return true;
}

/* What the processor pushes at an interrupt, behind an error code or not. */
static bool pop_machine_frame(struct ke_context *context, bool has_error_code)
{
    uint64_t at = context->Rsp + (has_error_code ? 8 : 0);
    uintptr_t pc, sp;
    if (!ke_probe_word(&pc, at) || !ke_probe_word(&sp, at + 24))
        return false;
    context->Rip = pc;
    context->Rsp = sp;
    context->ContextFlags &= ~KE_CONTEXT_UNWOUND;
    return true;
}

/* ---- codes ------------------------------------------------------------------------------------
 */

/* How many 16-bit slots a code takes, 0 = unknown. */
static unsigned slots(const struct ke_unwind_info *info, uint16_t code)
{
    static const uint8_t counts[OP_COUNT] = {1, 2, 1, 1, 2, 3, 2, 3, 2, 3, 1};
    unsigned op = CODE_OP(code);
    if (op >= OP_COUNT)
        return 0;
    if (op == OP_ALLOC_LARGE && CODE_INFO(code) > 1)
        return 0;
    if (op == OP_ALLOC_LARGE && CODE_INFO(code) == 1)
        return 3;
    return op == OP_EPILOG && info->version >= 2 ? 1 : counts[op];
}

/* The operand in the slots behind a code: scaled in one of them, plain in two. */
static uint64_t operand(const uint16_t *code, unsigned count, unsigned scale)
{
    return count == 3 ? code[1] | (uint32_t)code[2] << 16 : (uint64_t)code[1] * scale;
}

/* Undoes one code. `frame` is what the offsets of saved registers count from. */
static bool undo(const struct ke_unwind_info *info, const uint16_t *code, unsigned count,
                 uint64_t frame, struct ke_context *context, struct ke_context_pointers *pointers,
                 bool *machine_frame)
{
    unsigned number = CODE_INFO(*code);
    switch (CODE_OP(*code)) {
    case OP_PUSH_NONVOL:
        return ke_unwind_pop(context, number, pointers);
    case OP_ALLOC_LARGE:
        context->Rsp += operand(code, count, 8);
        return true;
    case OP_ALLOC_SMALL:
        context->Rsp += number * 8 + 8;
        return true;
    case OP_SET_FPREG:
        context->Rsp = *ke_context_register(context, info->frame_register) - info->frame_offset;
        return true;
    case OP_SAVE_NONVOL:
    case OP_SAVE_NONVOL_FAR:
        return load_integer(context, number, frame + operand(code, count, 8), pointers);
    case OP_SAVE_XMM128:
    case OP_SAVE_XMM128_FAR:
        return load_xmm(context, number, frame + operand(code, count, 16), pointers);
    case OP_PUSH_MACHFRAME:
        *machine_frame = true;
        return number <= 1 && pop_machine_frame(context, number == 1);
    default: /* epilogue descriptions, and numbers without meaning */
        return true;
    }
}

/* Undoes what of the prologue has run: the codes that end at or before `offset`. */
static bool undo_prolog(const struct ke_unwind_info *info, uint32_t offset, uint64_t frame,
                        struct ke_context *context, struct ke_context_pointers *pointers,
                        bool *machine_frame)
{
    unsigned count;
    for (unsigned i = 0; i < info->count; i += count) {
        count = slots(info, info->codes[i]);
        if (count == 0 || count > info->count - i)
            return false;
        bool is_epilog = CODE_OP(info->codes[i]) == OP_EPILOG;
        if (is_epilog || CODE_OFFSET(info->codes[i]) > offset)
            continue;
        if (!undo(info, &info->codes[i], count, frame, context, pointers, machine_frame))
            return false;
    }
    return true;
}

/* Whether the instruction that sets the frame register has run. */
static bool has_frame_register(const struct ke_unwind_info *info, uint32_t offset)
{
    if (info->frame_register == 0)
        return false;
    if (offset >= info->prolog || (info->flags & KE_UNW_FLAG_CHAININFO))
        return true;
    for (unsigned i = 0, count; i < info->count; i += count) {
        count = slots(info, info->codes[i]);
        if (count == 0)
            return false;
        if (CODE_OP(info->codes[i]) == OP_SET_FPREG)
            return offset >= CODE_OFFSET(info->codes[i]);
    }
    return false;
}

/* ---- frames -----------------------------------------------------------------------------------
 */

static bool take_handler(const struct ke_function *function, const struct ke_unwind_info *info,
                         struct ke_virtual_frame *frame)
{
    uint32_t rva;
    if (!read_image(function, info->tail - function->image_base, &rva, sizeof(rva)) ||
        !is_inside(function, rva, 1))
        return false;
    frame->handler = (ke_language_handler)(function->image_base + rva);
    frame->handler_data = (void *)(info->tail + sizeof(rva));
    return true;
}

/* The codes of the function and of those that its information is linked to, whose prologues have
 * run to their ends. `info` becomes the last one's. */
static bool undo_all(struct ke_function *function, struct ke_unwind_info *info, uint32_t offset,
                     uint64_t frame, struct ke_context *context,
                     struct ke_context_pointers *pointers)
{
    bool machine_frame = false;
    if (!undo_prolog(info, offset, frame, context, pointers, &machine_frame))
        return false;
    for (unsigned i = 0; info->flags & KE_UNW_FLAG_CHAININFO; i++) {
        if (i == KE_UNWIND_CHAIN_MAX || !ke_function_follow(function, info) ||
            !ke_unwind_info_read(function, info) ||
            !undo_prolog(info, UINT32_MAX, frame, context, pointers, &machine_frame))
            return false;
    }
    return machine_frame || ke_leaf_step(context);
}

bool ke_virtual_step(uint32_t handler_type, uint64_t image_base, uint64_t pc,
                     const struct ke_runtime_function *entry, struct ke_context *context,
                     struct ke_virtual_frame *frame, struct ke_context_pointers *pointers)
{
    struct ke_function function;
    struct ke_unwind_info info;
    *frame = (struct ke_virtual_frame){.establisher = context->Rsp};
    if (!entry)
        return ke_leaf_step(context);
    if (!ke_function_read(&function, image_base, entry) || !ke_unwind_info_read(&function, &info))
        return false;
    uint64_t offset = pc - image_base - function.entry.BeginAddress;
    if (offset >= function.entry.EndAddress - function.entry.BeginAddress)
        return false;
    if (has_frame_register(&info, (uint32_t)offset))
        frame->establisher = *ke_context_register(context, info.frame_register) - info.frame_offset;
    bool in_prolog = offset < info.prolog;
    if (!in_prolog) {
        bool in_epilog = false;
        if (!ke_epilog_step(&function, &info, pc, context, pointers, &in_epilog))
            return false;
        if (in_epilog)
            return true;
    }
    if (!undo_all(&function, &info, in_prolog ? (uint32_t)offset : UINT32_MAX, frame->establisher,
                  context, pointers))
        return false;
    return in_prolog || !(info.flags & handler_type) || take_handler(&function, &info, frame);
}

ke_language_handler WINAPI_DEF ke_virtual_unwind(uint32_t handler_type, uint64_t image_base,
                                                 uint64_t pc,
                                                 const struct ke_runtime_function *function,
                                                 struct ke_context *context, void **handler_data,
                                                 uint64_t *establisher_frame,
                                                 struct ke_context_pointers *pointers)
{
    struct ke_virtual_frame frame;
    if (!ke_virtual_step(handler_type, image_base, pc, function, context, &frame, pointers)) {
        context->Rip = 0; /* what a walk takes for the end */
        frame.handler = NULL;
    }
    if (handler_data)
        *handler_data = frame.handler_data;
    if (establisher_frame)
        *establisher_frame = frame.establisher;
    return frame.handler;
}

#endif
