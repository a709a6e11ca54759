/*
 * Unwinding one native frame by its call-frame information (see native.h).
 *
 * Why not libunwind: functions of Windows's convention (ms_abi) save xmm6 to xmm15, for which GCC
 * emits call-frame information (columns 17 and up, System V ABI), but which libunwind drops; and it
 * takes locks. Why not libgcc's _Unwind_Backtrace: it starts at its own caller, never at a given
 * CONTEXT, and reads where it likes. Its _Unwind_Find_FDE is the part that is wanted: the table
 * lookup through _dl_find_object, which takes no lock.
 */
#include "loader/ke/cfi.h"

#include <string.h>

#include "loader/ke/native.h"
#include "loader/ke/thread.h"
#include "loader/stack.h"

/* libgcc's, declared in none of the headers that it installs. */
struct dwarf_eh_bases {
    void *tbase, *dbase, *func;
};
extern const void *_Unwind_Find_FDE(void *pc, struct dwarf_eh_bases *bases);
/* Through a variable: a call through the PLT might run the dynamic linker in a signal handler. */
static const void *(*volatile find_fde)(void *, struct dwarf_eh_bases *) = _Unwind_Find_FDE;

static const uint16_t column_offsets[] = {
#define AT(reg) offsetof(struct ke_context, reg)
#ifdef __x86_64__
    AT(Rax), AT(Rdx), AT(Rcx), AT(Rbx), AT(Rsi), AT(Rdi), AT(Rbp), AT(Rsp), AT(R8),
    AT(R9),  AT(R10), AT(R11), AT(R12), AT(R13), AT(R14), AT(R15), AT(Rip),
#else
    AT(Eax), AT(Ecx), AT(Edx), AT(Ebx), AT(Esp), AT(Ebp), AT(Esi), AT(Edi), AT(Eip),
#endif
#undef AT
};
_Static_assert(sizeof(column_offsets) / sizeof(column_offsets[0]) == CFI_PC + 1, "columns");

uintptr_t *ke_cfi_column(struct ke_context *context, uint64_t column)
{
    return column <= CFI_PC ? (uintptr_t *)((char *)context + column_offsets[column]) : NULL;
}

/* memcpy would object to the bounds of variables; a caller waits for single bytes much longer. */
STACK_JUMPER bool ke_cfi_load(const struct cfi_frame *frame, uintptr_t address, void *out,
                              size_t size)
{
    typedef uintptr_t __attribute__((aligned(1), may_alias)) word;
    if (address < frame->low || address > frame->high || size > frame->high - address)
        return false;
    size_t i = 0;
    for (; i + sizeof(word) <= size; i += sizeof(word))
        *(volatile word *)((char *)out + i) = *(const volatile word *)(address + i);
    for (; i < size; i++)
        ((volatile uint8_t *)out)[i] = *(const volatile uint8_t *)(address + i);
    return true;
}

static bool open_frame(const struct ke_context *context, struct cfi_frame *out)
{
    const struct ke_teb *teb = ke_current ? ke_current->teb : NULL;
    uintptr_t sp = KE_CONTEXT_SP(context);
    if (!teb || sp < (uintptr_t)teb->StackLimit || sp >= (uintptr_t)teb->StackBase)
        return false;
    *out = (struct cfi_frame){context, sp, (uintptr_t)teb->StackBase};
    return true;
}

static bool find_cfa(const struct cfi_frame *frame, const struct cfi_row *row, uintptr_t *out)
{
    if (row->cfa_expression) {
        if (!ke_cfi_evaluate(frame, row->cfa_expression, NULL, out))
            return false;
    } else {
        const uintptr_t *base = ke_cfi_column((struct ke_context *)frame->context, row->cfa_column);
        if (!base)
            return false;
        *out = *base + (uintptr_t)row->cfa_offset;
    }
    return *out > frame->low && *out <= frame->high;
}

/* Applies the rule of one column; `size` is that of the register at `to`. */
static bool apply_rule(const struct cfi_frame *frame, const struct cfi_row *row, unsigned column,
                       uintptr_t cfa, void *to, size_t size)
{
    intptr_t value = row->values[column];
    uintptr_t address = cfa + (uintptr_t)value;
    const uint8_t *expression = (const uint8_t *)value;
    switch ((enum cfi_kind)row->kinds[column]) {
    case CFI_SAME:
    case CFI_UNDEFINED:
        return true;
    case CFI_AT_EXPRESSION:
        return ke_cfi_evaluate(frame, expression, &cfa, &address) &&
               ke_cfi_load(frame, address, to, size);
    case CFI_AT_OFFSET:
        return ke_cfi_load(frame, address, to, size);
    case CFI_IS_EXPRESSION:
        if (!ke_cfi_evaluate(frame, expression, &cfa, &address))
            return false;
        break;
    case CFI_IS_OFFSET:
        break;
    case CFI_IN_REGISTER: {
        const uintptr_t *from = ke_cfi_column((struct ke_context *)frame->context, (uint64_t)value);
        if (!from)
            return false;
        address = *from;
        break;
    }
    }
    if (size != sizeof(address)) /* no xmm register is an address */
        return false;
    memcpy(to, &address, size);
    return true;
}

#ifdef __x86_64__
/* The xmm registers that the frame has saved. */
static bool apply_xmm(const struct cfi_frame *frame, const struct cfi_row *row, uintptr_t cfa,
                      struct ke_xmm out[16])
{
    for (unsigned i = 0; i < 16; i++)
        if (!apply_rule(frame, row, CFI_FIRST_XMM + i, cfa, &out[i], sizeof(out[i])))
            return false;
    return true;
}

static void store_xmm(struct ke_context *context, const struct cfi_row *row,
                      const struct ke_xmm values[16])
{
    for (unsigned i = 0; i < 16; i++)
        if (row->kinds[CFI_FIRST_XMM + i] != CFI_SAME &&
            row->kinds[CFI_FIRST_XMM + i] != CFI_UNDEFINED)
            context->FltSave.XmmRegisters[i] = values[i];
}
#endif

/* All of the caller's registers, or none: a CONTEXT is too large to be copied for that. */
static bool apply_row(const struct cfi_frame *frame, const struct cfi_row *row,
                      struct ke_context *context)
{
    uintptr_t cfa, values[CFI_PC + 1];
    if (!find_cfa(frame, row, &cfa) || row->kinds[CFI_PC] == CFI_SAME ||
        row->kinds[CFI_PC] == CFI_UNDEFINED)
        return false;
    for (unsigned i = 0; i <= CFI_PC; i++) {
        values[i] = i == CFI_SP ? cfa : *ke_cfi_column(context, i);
        if (!apply_rule(frame, row, i, cfa, &values[i], sizeof(values[i])))
            return false;
    }
    if (values[CFI_SP] <= frame->low || values[CFI_SP] > frame->high)
        return false;
#ifdef __x86_64__
    struct ke_xmm xmm[16];
    if (!apply_xmm(frame, row, cfa, xmm))
        return false;
    store_xmm(context, row, xmm);
#endif
    for (unsigned i = 0; i <= CFI_PC; i++)
        *ke_cfi_column(context, i) = values[i];
    return true;
}

uintptr_t ke_cfi_function(uintptr_t address)
{
    struct dwarf_eh_bases bases;
    return find_fde((void *)address, &bases) ? (uintptr_t)bases.func : 0;
}

bool ke_cfi_step(struct ke_context *context, bool *exact, uintptr_t *function)
{
    struct cfi_frame frame;
    struct cfi_description description;
    struct cfi_row row;
    struct dwarf_eh_bases bases = {0};
    uintptr_t pc = KE_CONTEXT_PC(context) - !*exact;
    if (!open_frame(context, &frame))
        return false;
    const void *fde = find_fde((void *)pc, &bases);
    if (!fde || !ke_cfi_describe(fde, &description) ||
        !ke_cfi_run(&description, pc - (uintptr_t)bases.func, &row))
        return false;
    if (!apply_row(&frame, &row, context))
        return false;
    *exact = description.is_signal;
    *function = (uintptr_t)bases.func;
    return true;
}
