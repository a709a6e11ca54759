/*
 * Epilogues: recognised by their instructions, and run instead of unwound.
 *
 * Source: Microsoft, "x64 prolog and epilog": an epilogue is an optional addition to rsp (or a lea
 * from the frame register), pops of 64-bit registers, and a return or a jump out of the function;
 * compilers keep to this form so that it can be recognised. Version 2 of the unwind information
 * also lists where epilogues are.
 */
#include "loader/ke/unwind_x64.h"

#ifdef __x86_64__

#include <string.h>

#include "loader/ke/probe.h"

#define OP_EPILOG    6u
#define AT_THE_END   1u
#define INSTRUCTIONS 18u /* an adjustment, 16 pops, a jump */
#define REX_W        8u
#define RSP          4u

enum kind {
    NOT_OF_EPILOG,
    ADJUST, /* of rsp */
    POP,
    RETURN,
    JUMP_NEAR, /* to `target` */
    JUMP_FAR,  /* through memory: another function, whichever */
};

struct instruction {
    enum kind kind;
    uint8_t length, number; /* register */
    bool from_register;     /* ADJUST: rsp = register + amount, not rsp + amount */
    int32_t amount;
    uint64_t target;
};

/* A signed displacement or immediate of 1 or 4 bytes. */
static int32_t signed_at(const uint8_t *at, bool wide)
{
    int32_t value = (int8_t)*at;
    if (wide)
        memcpy(&value, at, sizeof(value));
    return value;
}

/* add rsp, imm; lea rsp, [frame register + disp]. */
static struct instruction decode_adjust(const uint8_t *code, uint8_t frame_register)
{
    uint8_t rex = code[0], modrm = code[2];
    struct instruction out = {.kind = ADJUST};
    if (rex == 0x48 && (code[1] == 0x81 || code[1] == 0x83) && modrm == 0xC4) {
        out.amount = signed_at(code + 3, code[1] == 0x81);
        out.length = code[1] == 0x81 ? 7 : 4;
        return out;
    }
    unsigned mod = modrm >> 6, base = (modrm & 7u) | (rex & 1u) << 3;
    bool is_lea = (rex & 0xFE) == 0x48 && code[1] == 0x8D && (modrm >> 3 & 7) == RSP;
    if (!is_lea || frame_register == 0 || base != frame_register || mod > 2 ||
        (mod == 0 && (modrm & 7) == 5))
        return (struct instruction){.kind = NOT_OF_EPILOG};
    bool has_sib = (modrm & 7) == RSP; /* r12 */
    if (has_sib && code[3] != 0x24)
        return (struct instruction){.kind = NOT_OF_EPILOG};
    out.from_register = true;
    out.number = frame_register;
    out.amount = mod == 0 ? 0 : signed_at(code + 3 + has_sib, mod == 2);
    out.length = (uint8_t)(3 + has_sib + (mod == 2 ? 4 : mod));
    return out;
}

/* `code` has 16 bytes. */
static struct instruction decode(const uint8_t *code, uint64_t pc, uint8_t frame_register)
{
    unsigned rex = (code[0] & 0xF0) == 0x40 ? code[0] : 0;
    const uint8_t *op = code + (rex != 0);
    uint8_t skipped = rex != 0;
    if ((op[0] & 0xF8) == 0x58)
        return (struct instruction){.kind = POP,
                                    .length = (uint8_t)(skipped + 1),
                                    .number = (uint8_t)((op[0] & 7u) | (rex & 1u) << 3)};
    if (op[0] == 0xC3 || op[0] == 0xC2 || (op[0] == 0xF3 && op[1] == 0xC3))
        return (struct instruction){.kind = RETURN,
                                    .amount = op[0] == 0xC2 ? op[1] | op[2] << 8 : 0};
    if (op[0] == 0xEB || op[0] == 0xE9)
        return (struct instruction){.kind = JUMP_NEAR,
                                    .target = pc + skipped + (op[0] == 0xE9 ? 5 : 2) +
                                              (uint64_t)signed_at(op + 1, op[0] == 0xE9)};
    /* jmp through memory without a displacement from a register; with REX.W, jmp register: the
     * mark of a tail call, which a jump through a table inside of a function does not have */
    bool is_jump = op[0] == 0xFF && (op[1] >> 3 & 7) == 4;
    if (is_jump && (op[1] >> 6 == 0 || (op[1] >> 6 == 3 && (rex & REX_W))))
        return (struct instruction){.kind = JUMP_FAR};
    return decode_adjust(code, frame_register);
}

/* ---- whether -----------------------------------------------------------------------------------
 */

/* The function that a part of one belongs to, whose information it is linked to. */
static bool primary(struct ke_function *function)
{
    struct ke_unwind_info info;
    for (unsigned i = 0; i <= KE_UNWIND_CHAIN_MAX; i++) {
        if (!ke_unwind_info_read(function, &info))
            return false;
        if (!(info.flags & KE_UNW_FLAG_CHAININFO))
            return true;
        if (!ke_function_follow(function, &info))
            return false;
    }
    return false;
}

/* A jump that leaves the function, or begins it again. */
static bool is_tail_call(const struct ke_function *function, const struct ke_unwind_info *info,
                         uint64_t target)
{
    uint64_t rva = target - function->image_base, base;
    if (rva == function->entry.BeginAddress)
        return !(info->flags & KE_UNW_FLAG_CHAININFO);
    if (rva > function->entry.BeginAddress && rva < function->entry.EndAddress)
        return false;
    struct ke_function there, here = *function;
    const struct ke_runtime_function *entry = ke_lookup_function_entry(target, &base, NULL);
    if (!entry || base != function->image_base || !ke_function_read(&there, base, entry))
        return true;
    return !primary(&there) || !primary(&here) ||
           there.entry.BeginAddress != here.entry.BeginAddress;
}

/* Version 2: code 0 has the size of all epilogues and whether one ends the function; the codes of
 * this kind behind it count from the function's end, 0 fills up. */
static bool is_listed(const struct ke_function *function, const struct ke_unwind_info *info,
                      uint64_t pc)
{
    uint32_t rva = (uint32_t)(pc - function->image_base), size = info->codes[0] & 0xFF;
    for (unsigned i = 0; i < info->count && (info->codes[i] >> 8 & 0xF) == OP_EPILOG; i++) {
        uint32_t back = (info->codes[i] & 0xFF) | (uint32_t)(info->codes[i] >> 12) << 8;
        if (i == 0)
            back = info->codes[0] >> 12 & AT_THE_END ? size : 0;
        if (back == 0 && i > 0)
            break;
        if (back == 0 || back > function->entry.EndAddress)
            continue;
        if (rva - (function->entry.EndAddress - back) < size)
            return true;
    }
    return false;
}

/* ---- running it --------------------------------------------------------------------------------
 */

static bool apply(const struct instruction *instruction, struct ke_context *context,
                  struct ke_context_pointers *pointers)
{
    if (instruction->kind == POP)
        return ke_unwind_pop(context, instruction->number, pointers);
    uint64_t from = instruction->from_register ? *ke_context_register(context, instruction->number)
                                               : context->Rsp;
    context->Rsp = from + (uint64_t)(int64_t)instruction->amount;
    return true;
}

/* Decodes and, with a `context`, applies what is at `pc`, up to the return or jump. Whether that is
 * all of an epilogue; `last` gets the end of it. */
static bool run(const struct ke_function *function, const struct ke_unwind_info *info, uint64_t pc,
                struct ke_context *context, struct ke_context_pointers *pointers,
                struct instruction *last)
{
    for (unsigned i = 0; i < INSTRUCTIONS; i++) {
        uint8_t code[16] = {0};
        uint64_t end = function->image_base + function->entry.EndAddress;
        uint64_t left = pc < end ? end - pc : 0;
        if (!ke_probe(code, pc, left < sizeof(code) ? left : sizeof(code)))
            return false;
        *last = decode(code, pc, info->frame_register);
        if (last->kind == RETURN || last->kind == JUMP_FAR)
            return true;
        if (last->kind == JUMP_NEAR)
            return is_tail_call(function, info, last->target);
        if (last->kind == NOT_OF_EPILOG || (last->kind == ADJUST && i > 0) ||
            (context && !apply(last, context, pointers)))
            return false;
        pc += last->length;
    }
    return false;
}

bool ke_epilog_step(const struct ke_function *function, const struct ke_unwind_info *info,
                    uint64_t pc, struct ke_context *context, struct ke_context_pointers *pointers,
                    bool *done)
{
    struct instruction last;
    bool lists = info->version >= 2 && info->count && (info->codes[0] >> 8 & 0xF) == OP_EPILOG;
    *done = false;
    if (lists && !is_listed(function, info, pc))
        return true;
    if (!run(function, info, pc, NULL, NULL, &last))
        return true;
    *done = true;
    if (!run(function, info, pc, context, pointers, &last) || !ke_leaf_step(context))
        return false;
    if (last.kind == RETURN)
        context->Rsp += (uint32_t)last.amount;
    return true;
}

#endif
