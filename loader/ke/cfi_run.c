/*
 * The instructions of call-frame information (DWARF 5, section 6.4.2; GNU's additions as in the
 * LSB): run from the start of a function to the row of one of its instructions.
 */
#include <string.h>

#include "loader/ke/cfi.h"

/* DW_CFA_*. The first three keep an operand in their low six bits. */
enum {
    OP_ADVANCE_LOC = 0x40,
    OP_OFFSET = 0x80,
    OP_RESTORE = 0xC0,
    OP_NOP = 0x00,
    OP_SET_LOC,
    OP_ADVANCE_LOC1,
    OP_ADVANCE_LOC2,
    OP_ADVANCE_LOC4,
    OP_OFFSET_EXTENDED,
    OP_RESTORE_EXTENDED,
    OP_UNDEFINED,
    OP_SAME_VALUE,
    OP_REGISTER,
    OP_REMEMBER_STATE,
    OP_RESTORE_STATE,
    OP_DEF_CFA,
    OP_DEF_CFA_REGISTER,
    OP_DEF_CFA_OFFSET,
    OP_DEF_CFA_EXPRESSION,
    OP_EXPRESSION,
    OP_OFFSET_EXTENDED_SF,
    OP_DEF_CFA_SF,
    OP_DEF_CFA_OFFSET_SF,
    OP_VAL_OFFSET,
    OP_VAL_OFFSET_SF,
    OP_VAL_EXPRESSION,
    OP_GNU_WINDOW_SAVE = 0x2D,
    OP_GNU_ARGS_SIZE = 0x2E,
    OP_GNU_NEGATIVE_OFFSET_EXTENDED = 0x2F,
};

enum { REMEMBERED_MAX = 4 }; /* compilers nest one or two deep */

struct machine {
    const struct cfi_description *description;
    struct cfi_reader reader;
    uint64_t location, target; /* offsets in the function */
    struct cfi_row *row;
    const struct cfi_row *initial; /* behind the CIE's instructions; NULL while they run */
    struct cfi_row *remembered;
    unsigned depth;
};

static void set_rule(struct machine *m, uint64_t column, enum cfi_kind kind, int64_t value)
{
    if (column >= CFI_COLUMNS) /* x87, segments, flags ...: nothing that a caller needs */
        return;
    m->row->kinds[column] = (uint8_t)kind;
    m->row->values[column] = (intptr_t)value;
}

static void restore_rule(struct machine *m, uint64_t column)
{
    if (column >= CFI_COLUMNS)
        return;
    m->row->kinds[column] = m->initial ? m->initial->kinds[column] : CFI_SAME;
    m->row->values[column] = m->initial ? m->initial->values[column] : 0;
}

static const uint8_t *take_expression(struct machine *m)
{
    const uint8_t *at = m->reader.at;
    ke_cfi_take(&m->reader, ke_cfi_uleb(&m->reader));
    return at;
}

static void set_cfa(struct machine *m, uint64_t column, int64_t offset)
{
    m->row->cfa_column = column;
    m->row->cfa_offset = (intptr_t)offset;
    m->row->cfa_expression = NULL;
}

/* Instructions that define the CFA; false = none of them. */
static bool run_cfa(struct machine *m, uint8_t op)
{
    struct cfi_reader *r = &m->reader;
    int64_t align = m->description->data_align;
    uint64_t column = m->row->cfa_column;
    switch (op) {
    case OP_DEF_CFA:
    case OP_DEF_CFA_SF:
        column = ke_cfi_uleb(r);
        set_cfa(m, column, op == OP_DEF_CFA ? (int64_t)ke_cfi_uleb(r) : ke_cfi_sleb(r) * align);
        return true;
    case OP_DEF_CFA_REGISTER:
        set_cfa(m, ke_cfi_uleb(r), m->row->cfa_offset);
        return true;
    case OP_DEF_CFA_OFFSET:
        set_cfa(m, column, (int64_t)ke_cfi_uleb(r));
        return true;
    case OP_DEF_CFA_OFFSET_SF:
        set_cfa(m, column, ke_cfi_sleb(r) * align);
        return true;
    case OP_DEF_CFA_EXPRESSION:
        m->row->cfa_expression = take_expression(m);
        return true;
    default:
        return false;
    }
}

/* Instructions on one register; false = none of them. */
static bool run_register(struct machine *m, uint8_t op)
{
    static const struct {
        uint8_t kind, operand; /* operand: none, ULEB, ULEB or SLEB by data_align, expression */
    } rules[] = {
        [OP_OFFSET_EXTENDED] = {CFI_AT_OFFSET, 'u'},
        [OP_UNDEFINED] = {CFI_UNDEFINED, '-'},
        [OP_SAME_VALUE] = {CFI_SAME, '-'},
        [OP_REGISTER] = {CFI_IN_REGISTER, 'r'},
        [OP_EXPRESSION] = {CFI_AT_EXPRESSION, 'e'},
        [OP_OFFSET_EXTENDED_SF] = {CFI_AT_OFFSET, 's'},
        [OP_VAL_OFFSET] = {CFI_IS_OFFSET, 'u'},
        [OP_VAL_OFFSET_SF] = {CFI_IS_OFFSET, 's'},
        [OP_VAL_EXPRESSION] = {CFI_IS_EXPRESSION, 'e'},
        [OP_GNU_NEGATIVE_OFFSET_EXTENDED] = {CFI_AT_OFFSET, 'n'},
    };
    if (op >= sizeof(rules) / sizeof(rules[0]) || !rules[op].operand)
        return false;
    struct cfi_reader *r = &m->reader;
    uint64_t column = ke_cfi_uleb(r);
    int64_t align = m->description->data_align, value = 0;
    switch (rules[op].operand) {
    case 'u':
        value = (int64_t)ke_cfi_uleb(r) * align;
        break;
    case 's':
        value = ke_cfi_sleb(r) * align;
        break;
    case 'n':
        value = -(int64_t)ke_cfi_uleb(r) * align;
        break;
    case 'r':
        value = (int64_t)ke_cfi_uleb(r);
        break;
    case 'e':
        value = (int64_t)(uintptr_t)take_expression(m);
        break;
    }
    set_rule(m, column, rules[op].kind, value);
    return true;
}

static void advance(struct machine *m, uint64_t delta)
{
    m->location += delta * m->description->code_align;
}

/* The others; false = an instruction that is not known. */
static bool run_other(struct machine *m, uint8_t op)
{
    struct cfi_reader *r = &m->reader;
    switch (op) {
    case OP_NOP:
    case OP_GNU_WINDOW_SAVE:
        return true;
    case OP_ADVANCE_LOC1:
    case OP_ADVANCE_LOC2:
    case OP_ADVANCE_LOC4:
        advance(m, ke_cfi_uint(r, 1u << (op - OP_ADVANCE_LOC1)));
        return true;
    case OP_RESTORE_EXTENDED:
        restore_rule(m, ke_cfi_uleb(r));
        return true;
    case OP_REMEMBER_STATE:
        if (m->depth == REMEMBERED_MAX)
            return false;
        m->remembered[m->depth++] = *m->row;
        return true;
    case OP_RESTORE_STATE:
        if (m->depth == 0)
            return false;
        *m->row = m->remembered[--m->depth];
        return true;
    case OP_GNU_ARGS_SIZE:
        ke_cfi_uleb(r); /* for landing pads, which nothing here goes to */
        return true;
    default:
        return false; /* DW_CFA_set_loc: no compiler for x86 uses it */
    }
}

/* One instruction; false = the end, or one that is not known. */
static bool run_one(struct machine *m)
{
    uint8_t op = (uint8_t)ke_cfi_uint(&m->reader, 1), low = op & 0x3F;
    switch (op & 0xC0) {
    case OP_ADVANCE_LOC:
        advance(m, low);
        return true;
    case OP_OFFSET:
        set_rule(m, low, CFI_AT_OFFSET,
                 (int64_t)ke_cfi_uleb(&m->reader) * m->description->data_align);
        return true;
    case OP_RESTORE:
        restore_rule(m, low);
        return true;
    default:
        return run_cfa(m, op) || run_register(m, op) || run_other(m, op);
    }
}

static bool run_all(struct machine *m, struct cfi_reader program)
{
    m->reader = program;
    while (m->reader.at < m->reader.end && m->location <= m->target)
        if (!run_one(m))
            return false;
    return !m->reader.bad;
}

bool ke_cfi_run(const struct cfi_description *description, uintptr_t offset, struct cfi_row *row)
{
    struct cfi_row initial, remembered[REMEMBERED_MAX];
    struct machine machine = {
        .description = description, .target = offset, .row = row, .remembered = remembered};
    memset(row, 0, sizeof(*row));
    if (!run_all(&machine, description->initial))
        return false;
    initial = *row;
    machine.initial = &initial;
    return run_all(&machine, description->program);
}
