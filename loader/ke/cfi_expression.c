/*
 * DWARF expressions (DWARF 5, section 2.5) as far as call-frame information has them: glibc's
 * sigreturn trampolines, PLT stubs, and prologues that realign the stack.
 */
#include "loader/ke/cfi.h"

/* DW_OP_* */
enum {
    OP_ADDR = 0x03,
    OP_DEREF = 0x06,
    OP_CONST1U = 0x08, /* then 1s 2u 2s 4u 4s 8u 8s */
    OP_CONST8S = 0x0F,
    OP_CONSTU = 0x10,
    OP_CONSTS = 0x11,
    OP_DUP = 0x12,
    OP_DROP = 0x13,
    OP_OVER = 0x14,
    OP_PICK = 0x15,
    OP_SWAP = 0x16,
    OP_ROT = 0x17,
    OP_ABS = 0x19,
    OP_AND = 0x1A,
    OP_DIV = 0x1B,
    OP_MINUS = 0x1C,
    OP_MOD = 0x1D,
    OP_MUL = 0x1E,
    OP_NEG = 0x1F,
    OP_NOT = 0x20,
    OP_OR = 0x21,
    OP_PLUS = 0x22,
    OP_PLUS_UCONST = 0x23,
    OP_SHL = 0x24,
    OP_SHR = 0x25,
    OP_SHRA = 0x26,
    OP_XOR = 0x27,
    OP_BRA = 0x28,
    OP_EQ = 0x29,
    OP_GE = 0x2A,
    OP_GT = 0x2B,
    OP_LE = 0x2C,
    OP_LT = 0x2D,
    OP_NE = 0x2E,
    OP_SKIP = 0x2F,
    OP_LIT0 = 0x30,
    OP_LIT31 = 0x4F,
    OP_BREG0 = 0x70,
    OP_BREG31 = 0x8F,
    OP_BREGX = 0x92,
    OP_DEREF_SIZE = 0x94,
    OP_NOP = 0x96,
};

enum { DEPTH_MAX = 32, STEPS_MAX = 1000 /* ends a loop */ };

struct machine {
    const struct cfi_frame *frame;
    struct cfi_reader reader;
    const uint8_t *start;
    uintptr_t stack[DEPTH_MAX];
    unsigned depth;
    bool bad;
};

static void push(struct machine *m, uintptr_t value)
{
    if (m->depth == DEPTH_MAX)
        m->bad = true;
    else
        m->stack[m->depth++] = value;
}

static uintptr_t pop(struct machine *m)
{
    if (m->depth == 0) {
        m->bad = true;
        return 0;
    }
    return m->stack[--m->depth];
}

static uintptr_t pick(struct machine *m, unsigned index)
{
    if (index >= m->depth) {
        m->bad = true;
        return 0;
    }
    return m->stack[m->depth - 1 - index];
}

static bool push_constant(struct machine *m, uint8_t op)
{
    struct cfi_reader *r = &m->reader;
    if (op >= OP_LIT0 && op <= OP_LIT31) {
        push(m, op - OP_LIT0);
    } else if (op >= OP_CONST1U && op <= OP_CONST8S) {
        unsigned width = 1u << ((op - OP_CONST1U) / 2);
        bool is_signed = (op - OP_CONST1U) % 2;
        push(m, is_signed ? (uintptr_t)ke_cfi_int(r, width) : (uintptr_t)ke_cfi_uint(r, width));
    } else if (op == OP_ADDR) {
        push(m, (uintptr_t)ke_cfi_uint(r, sizeof(uintptr_t)));
    } else if (op == OP_CONSTU) {
        push(m, (uintptr_t)ke_cfi_uleb(r));
    } else if (op == OP_CONSTS) {
        push(m, (uintptr_t)ke_cfi_sleb(r));
    } else {
        return false;
    }
    return true;
}

static bool push_register(struct machine *m, uint8_t op)
{
    if (op != OP_BREGX && (op < OP_BREG0 || op > OP_BREG31))
        return false;
    uint64_t column = op == OP_BREGX ? ke_cfi_uleb(&m->reader) : (uint64_t)(op - OP_BREG0);
    const uintptr_t *value = ke_cfi_column((struct ke_context *)m->frame->context, column);
    if (!value)
        m->bad = true;
    else
        push(m, *value + (uintptr_t)ke_cfi_sleb(&m->reader));
    return true;
}

static bool dereference(struct machine *m, uint8_t op)
{
    if (op != OP_DEREF && op != OP_DEREF_SIZE)
        return false;
    size_t size = op == OP_DEREF ? sizeof(uintptr_t) : (size_t)ke_cfi_uint(&m->reader, 1);
    uintptr_t value = 0;
    if (size > sizeof(value) || !ke_cfi_load(m->frame, pop(m), &value, size))
        m->bad = true;
    push(m, value);
    return true;
}

static bool shuffle(struct machine *m, uint8_t op)
{
    uintptr_t first, second, third;
    switch (op) {
    case OP_DUP:
        push(m, pick(m, 0));
        return true;
    case OP_DROP:
        pop(m);
        return true;
    case OP_OVER:
        push(m, pick(m, 1));
        return true;
    case OP_PICK:
        push(m, pick(m, (unsigned)ke_cfi_uint(&m->reader, 1)));
        return true;
    case OP_SWAP:
    case OP_ROT:
        first = pop(m);
        second = pop(m);
        third = op == OP_ROT ? pop(m) : 0;
        push(m, first);
        if (op == OP_ROT)
            push(m, third);
        push(m, second);
        return true;
    default:
        return false;
    }
}

static bool unary(struct machine *m, uint8_t op)
{
    intptr_t value;
    switch (op) {
    case OP_ABS:
        value = (intptr_t)pop(m);
        push(m, value < 0 ? -(uintptr_t)value : (uintptr_t)value);
        return true;
    case OP_NEG:
        push(m, -pop(m));
        return true;
    case OP_NOT:
        push(m, ~pop(m));
        return true;
    case OP_PLUS_UCONST:
        push(m, pop(m) + (uintptr_t)ke_cfi_uleb(&m->reader));
        return true;
    default:
        return false;
    }
}

/* Comparisons are signed and shifts by a word or more empty it, as the standard has it. */
static bool binary(uint8_t op, uintptr_t a, uintptr_t b, uintptr_t *out)
{
    enum { BITS = 8 * sizeof(uintptr_t) };
    intptr_t x = (intptr_t)a, y = (intptr_t)b;
    if ((op == OP_DIV || op == OP_MOD) && (b == 0 || b == UINTPTR_MAX))
        return false; /* nobody divides by -1; INTPTR_MIN / -1 would trap */
    switch (op) {
#define CASE(name, value) \
    case OP_##name:       \
        *out = (value);   \
        return true
        CASE(AND, a & b);
        CASE(DIV, (uintptr_t)(x / y));
        CASE(MINUS, a - b);
        CASE(MOD, a % b);
        CASE(MUL, a * b);
        CASE(OR, a | b);
        CASE(PLUS, a + b);
        CASE(SHL, b < BITS ? a << b : 0);
        CASE(SHR, b < BITS ? a >> b : 0);
        CASE(SHRA, (uintptr_t)(x >> (b < BITS ? b : BITS - 1)));
        CASE(XOR, a ^ b);
        CASE(EQ, x == y);
        CASE(GE, x >= y);
        CASE(GT, x > y);
        CASE(LE, x <= y);
        CASE(LT, x < y);
        CASE(NE, x != y);
#undef CASE
    default:
        return false;
    }
}

static bool jump(struct machine *m, uint8_t op)
{
    if (op != OP_SKIP && op != OP_BRA)
        return false;
    int64_t distance = ke_cfi_int(&m->reader, 2);
    if (op == OP_BRA && pop(m) == 0)
        return true;
    if (distance < m->start - m->reader.at || distance > m->reader.end - m->reader.at)
        m->bad = true;
    else
        m->reader.at += distance;
    return true;
}

static void run_one(struct machine *m)
{
    uint8_t op = (uint8_t)ke_cfi_uint(&m->reader, 1);
    if (op == OP_NOP || push_constant(m, op) || push_register(m, op) || dereference(m, op) ||
        shuffle(m, op) || unary(m, op) || jump(m, op))
        return;
    uintptr_t b = pop(m), a = pop(m), value = 0;
    if (!binary(op, a, b, &value))
        m->bad = true;
    push(m, value);
}

bool ke_cfi_evaluate(const struct cfi_frame *frame, const uint8_t *expression, const uintptr_t *cfa,
                     uintptr_t *out)
{
    enum { LENGTH_MAX = 10 }; /* of a ULEB128 */
    struct cfi_reader length = {expression, expression + LENGTH_MAX, false};
    uint64_t size = ke_cfi_uleb(&length);
    struct machine machine = {
        .frame = frame,
        .reader = {length.at, length.at + (uintptr_t)size, false},
        .start = length.at,
    };
    if (cfa)
        push(&machine, *cfa);
    for (int i = 0; i < STEPS_MAX && machine.reader.at < machine.reader.end && !machine.bad; i++)
        run_one(&machine);
    *out = pick(&machine, 0);
    return !machine.bad && !machine.reader.bad && machine.reader.at == machine.reader.end;
}
