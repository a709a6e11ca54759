/*
 * Reading DWARF call-frame information: what the parts of cfi*.c share.
 */
#ifndef KE_CFI_H
#define KE_CFI_H

#include "loader/ke/exception.h"

/* Columns of the register table: the general registers, the program counter, on x86-64 xmm. */
enum {
    CFI_INTEGERS = KE_BY_WORD(16, 8),
    CFI_PC = CFI_INTEGERS,
    CFI_SP = KE_BY_WORD(7, 4),
    CFI_FIRST_XMM = 17,
    CFI_COLUMNS = KE_BY_WORD(33, 9),
};

/* Bytes between `at` and `end`; a read beyond them gives 0 and sets `bad`. */
struct cfi_reader {
    const uint8_t *at, *end;
    bool bad;
};

uint64_t ke_cfi_uint(struct cfi_reader *reader, unsigned width);
int64_t ke_cfi_int(struct cfi_reader *reader, unsigned width);
uint64_t ke_cfi_uleb(struct cfi_reader *reader);
int64_t ke_cfi_sleb(struct cfi_reader *reader);
/* The next `length` bytes; the reader goes on behind them. */
struct cfi_reader ke_cfi_take(struct cfi_reader *reader, uint64_t length);
/* A pointer of an encoding (DW_EH_PE_*); false for those that eh_frame sections do not use. */
bool ke_cfi_pointer(struct cfi_reader *reader, uint8_t encoding, uintptr_t *out);

/* The frame to unwind: its registers and the part of the stack that may be read. */
struct cfi_frame {
    const struct ke_context *context;
    uintptr_t low, high;
};
/* Reads a word of up to 8 bytes, or 16 with `wide`, of the stack. */
bool ke_cfi_load(const struct cfi_frame *frame, uintptr_t address, void *out, size_t size);
/* An integer column's place in a context, NULL when there is none. */
uintptr_t *ke_cfi_column(struct ke_context *context, uint64_t column);

/* How a register of the caller is found. */
enum cfi_kind {
    CFI_SAME,
    CFI_UNDEFINED,
    CFI_AT_OFFSET,     /* saved at CFA + value */
    CFI_IS_OFFSET,     /* is CFA + value */
    CFI_IN_REGISTER,   /* is what column `value` holds now */
    CFI_AT_EXPRESSION, /* saved at the address that the expression at `value` computes */
    CFI_IS_EXPRESSION,
};
/* One row of the table: the CFA is `cfa_column` + `cfa_offset`, or an expression if there is one.
 */
struct cfi_row {
    uint8_t kinds[CFI_COLUMNS];
    intptr_t values[CFI_COLUMNS];
    uint64_t cfa_column;
    intptr_t cfa_offset;
    const uint8_t *cfa_expression;
};

/* What a CIE and its FDE say. */
struct cfi_description {
    uint64_t code_align;
    int64_t data_align;
    uint64_t pc_column;
    uint8_t pointer_encoding;
    bool has_augmentation, is_signal;
    struct cfi_reader initial, program;
};

/* The start of the native function that an address lies in, 0 where no information is. */
uintptr_t ke_cfi_function(uintptr_t address);
/* Whether the FDE at `fde` can be read. */
bool ke_cfi_describe(const void *fde, struct cfi_description *out);
/* The row for the instruction `offset` bytes behind the function's start. */
bool ke_cfi_run(const struct cfi_description *description, uintptr_t offset, struct cfi_row *row);
/* A DWARF expression: its length as ULEB128, then its operations. `cfa` is on the stack at its
 * start unless it computes the CFA (`cfa` NULL). */
bool ke_cfi_evaluate(const struct cfi_frame *frame, const uint8_t *expression, const uintptr_t *cfa,
                     uintptr_t *out);

#endif
