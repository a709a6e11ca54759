/*
 * Which exception Windows makes of a fault of the processor.
 *
 * Codes and parameters: winnt.h and Microsoft's page of EXCEPTION_RECORD; opcodes: Intel SDM,
 * volume 2. Several NT exceptions share one trap of the processor (privileged instructions and bad
 * addresses are both general protection), so the instruction is looked at. It has been fetched just
 * now, or the trap would be another one.
 */
#include <string.h>

#include "loader/ke/fault.h"
#include "loader/ke/ke.h"
#include "loader/mm/data.h"

#define GUARD_PAGE         0x80000001u
#define MISALIGNMENT       0x80000002u
#define BREAKPOINT         0x80000003u
#define SINGLE_STEP        0x80000004u
#define ACCESS_VIOLATION   0xC0000005u
#define IN_PAGE_ERROR      0xC0000006u
#define ILLEGAL            0xC000001Du
#define INVALID_LOCK       0xC000001Eu
#define ARRAY_BOUNDS       0xC000008Cu
#define FLOAT_DENORMAL     0xC000008Du
#define FLOAT_DIVIDE       0xC000008Eu
#define FLOAT_INEXACT      0xC000008Fu
#define FLOAT_INVALID      0xC0000090u
#define FLOAT_OVERFLOW     0xC0000091u
#define FLOAT_STACK        0xC0000092u
#define FLOAT_UNDERFLOW    0xC0000093u
#define INTEGER_DIVIDE     0xC0000094u
#define INTEGER_OVERFLOW   0xC0000095u
#define PRIVILEGED         0xC0000096u
#define STACK_OVERFLOW     0xC00000FDu
#define FLOAT_MULTI_FAULTS 0xC00002B4u
#define FLOAT_MULTI_TRAPS  0xC00002B5u
#define FAST_FAIL          0xC0000409u

#define EFLAGS_TF 0x100u

static void set_parameters(struct ke_exception_record *record, uint32_t count, uintptr_t a,
                           uintptr_t b, uintptr_t c)
{
    record->NumberParameters = count;
    record->ExceptionInformation[0] = a;
    record->ExceptionInformation[1] = b;
    record->ExceptionInformation[2] = c;
}

/* ---- the instruction -------------------------------------------------------------------------
 */

#define INSTRUCTION_MAX 15

struct instruction {
    const uint8_t *next; /* behind the opcode */
    uint16_t opcode;     /* 0x0Fxx for the second map */
    uint8_t rex, segment;
    bool lock, operand16, short_address;
};

static bool is_prefix(uint8_t byte, struct instruction *in)
{
    switch (byte) {
    case 0x26:
    case 0x2E:
    case 0x36:
    case 0x3E:
    case 0x64:
    case 0x65:
        in->segment = byte;
        return true;
    case 0x66:
        return in->operand16 = true;
    case 0x67:
        return in->short_address = true;
    case 0xF0:
        return in->lock = true;
    case 0xF2:
    case 0xF3:
        return true;
    default:
        return false;
    }
}

/* Reads no byte behind the opcode. */
static struct instruction decode(uintptr_t pc)
{
    struct instruction in = {.next = (const uint8_t *)pc};
    while ((uintptr_t)in.next - pc < INSTRUCTION_MAX - 2 && is_prefix(*in.next, &in))
        in.next++;
#ifdef __x86_64__
    if ((*in.next & 0xF0) == 0x40)
        in.rex = *in.next++;
#endif
    in.opcode = *in.next++;
    if (in.opcode == 0x0F)
        in.opcode = (uint16_t)(0x0F00 | *in.next++);
    return in;
}

/* System instructions that are told by the ModRM byte (SDM, groups 6 and 7). */
static bool is_privileged_group(uint16_t opcode, uint8_t modrm)
{
    unsigned reg = modrm >> 3 & 7;
    if (opcode == 0x0F00)
        return reg == 2 || reg == 3; /* lldt, ltr */
    if (modrm < 0xC0)
        return reg == 2 || reg == 3 || reg == 6 || reg == 7; /* lgdt, lidt, lmsw, invlpg */
    return reg == 6 || modrm == 0xF8 || modrm == 0xD1;       /* lmsw, swapgs, xsetbv */
}

static bool is_privileged(const struct instruction *in)
{
    static const struct {
        uint16_t first, last;
    } rows[] = {
        {0x6C, 0x6F},     /* ins, outs */
        {0xE4, 0xE7},     /* in, out */
        {0xEC, 0xEF},     /* in, out */
        {0xF4, 0xF4},     /* hlt */
        {0xFA, 0xFB},     /* cli, sti */
        {0x0F06, 0x0F09}, /* clts, sysret, invd, wbinvd */
        {0x0F20, 0x0F23}, /* mov to and from cr, dr */
        {0x0F30, 0x0F33}, /* wrmsr, rdtsc, rdmsr, rdpmc */
        {0x0F35, 0x0F35}, /* sysexit */
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (in->opcode >= rows[i].first && in->opcode <= rows[i].last)
            return true;
    return (in->opcode == 0x0F00 || in->opcode == 0x0F01) &&
           is_privileged_group(in->opcode, *in->next);
}

/* ---- the operand of a division -----------------------------------------------------------------
 */

static uintptr_t general(const struct ke_context *context, unsigned number)
{
#ifdef __x86_64__
    return (&context->Rax)[number]; /* in the order of their numbers */
#else
    const uint32_t values[] = {context->Eax, context->Ecx, context->Edx, context->Ebx,
                               context->Esp, context->Ebp, context->Esi, context->Edi};
    return values[number & 7];
#endif
}

static int32_t displacement(const uint8_t *at, unsigned size)
{
    int32_t wide = 0;
    if (size == 1)
        return (int8_t)*at;
    if (size == 4)
        memcpy(&wide, at, sizeof(wide));
    return wide;
}

static uintptr_t segment_base(const struct instruction *in)
{
    bool is_teb = in->segment == KE_BY_WORD(0x65, 0x64);
    return is_teb ? (uintptr_t)ke_teb() : 0;
}

/* SDM, tables 2-2 and 2-3: the address that a ModRM byte with a memory operand means. */
static uintptr_t memory_operand(const struct instruction *in, const struct ke_context *context)
{
    const uint8_t *at = in->next;
    unsigned modrm = *at++, mod = modrm >> 6, base = modrm & 7;
    unsigned size = mod == 1 ? 1 : mod == 2 ? 4 : 0;
    uintptr_t address = segment_base(in);
    bool has_base = true;
    if (base == 4) {
        unsigned sib = *at++, index = (sib >> 3 & 7) | (in->rex & 2u) << 2;
        base = sib & 7;
        if (index != 4)
            address += general(context, index) << (sib >> 6);
        if (mod == 0 && base == 5) {
            has_base = false;
            size = 4;
        }
    } else if (mod == 0 && base == 5) {
        has_base = false;
        size = 4;
#ifdef __x86_64__ /* relative to the next instruction: nothing follows in F6, F7 /6 and /7 */
        address += (uintptr_t)at + 4;
#endif
    }
    if (has_base)
        address += general(context, base | (in->rex & 1u) << 3);
    address += (uintptr_t)(intptr_t)displacement(at, size);
    return in->short_address && sizeof(address) == 8 ? (uint32_t)address : address;
}

/* The value that F6 or F7 /6, /7 (div, idiv) divides by. */
static uint64_t divisor(const struct instruction *in, const struct ke_context *context)
{
    unsigned modrm = *in->next, number = modrm & 7;
    size_t size = in->opcode == 0xF6 ? 1 : in->rex & 8 ? 8 : in->operand16 ? 2 : 4;
    uint64_t value = 0;
    if (modrm < 0xC0) {
        memcpy(&value, (const void *)memory_operand(in, context), size);
        return value;
    }
    if (size == 1 && !in->rex && number >= 4) /* ah, ch, dh, bh */
        return general(context, number - 4) >> 8 & 0xFF;
    uintptr_t whole = general(context, number | (in->rex & 1u) << 3);
    memcpy(&value, &whole, size < sizeof(whole) ? size : sizeof(whole));
    return value;
}

static uint32_t division_code(const struct ke_context *context)
{
    struct instruction in = decode(KE_CONTEXT_PC(context));
    bool divides = in.opcode == 0xF6 || in.opcode == 0xF7;
    /* With 16-bit addressing (i386, 67h) nobody divides. */
    if (!divides || (in.short_address && sizeof(void *) == 4) || divisor(&in, context) == 0)
        return INTEGER_DIVIDE;
    return INTEGER_OVERFLOW;
}

/* ---- floating point -------------------------------------------------------------------------- */

static uint32_t float_code(unsigned pending, bool stack)
{
    static const uint32_t codes[] = {FLOAT_INVALID,  FLOAT_DENORMAL,  FLOAT_DIVIDE,
                                     FLOAT_OVERFLOW, FLOAT_UNDERFLOW, FLOAT_INEXACT};
    static const uint8_t order[] = {0, 2, 1, 3, 4, 5};
    if (stack && pending & 1)
        return FLOAT_STACK;
    for (size_t i = 0; i < sizeof(order); i++)
        if (pending & 1u << order[i])
            return codes[order[i]];
    return FLOAT_INVALID;
}

static void x87(struct ke_exception_record *record, const struct ke_context *context)
{
    uint32_t control, status;
#ifdef __x86_64__
    control = context->FltSave.ControlWord;
    status = context->FltSave.StatusWord;
#else
    uint32_t origin;
    memcpy(&control, context->FloatSave, 4);
    memcpy(&status, context->FloatSave + 4, 4);
    memcpy(&origin, context->FloatSave + 12, 4); /* the trap comes with the next instruction */
    record->ExceptionAddress = (void *)(uintptr_t)origin;
#endif
    record->ExceptionCode = float_code(status & ~control & 0x3F, status & 0x40);
    set_parameters(record, 1, 0, 0, 0);
}

/* 32-bit Windows does not tell the exceptions of SSE apart, beyond those that come before and those
 * that come after the operation. */
static void sse(struct ke_exception_record *record, const struct ke_context *context)
{
#ifdef __x86_64__
    uint32_t mxcsr = context->MxCsr;
#else
    uint32_t mxcsr;
    memcpy(&mxcsr, context->ExtendedRegisters + 24, sizeof(mxcsr));
#endif
    unsigned pending = mxcsr & ~(mxcsr >> 7) & 0x3F;
    record->ExceptionCode = KE_BY_WORD(float_code(pending, false),
                                       pending & 7 ? FLOAT_MULTI_TRAPS : FLOAT_MULTI_FAULTS);
    set_parameters(record, 2, 0, mxcsr, 0);
}

/* ---- everything else ------------------------------------------------------------------------- */

static void page_fault(const struct ke_fault *fault, struct ke_exception_record *record)
{
    record->ExceptionCode = fault->stack_overflow ? STACK_OVERFLOW
                            : fault->guard_page   ? GUARD_PAGE
                            : fault->end_of_file  ? IN_PAGE_ERROR
                                                  : ACCESS_VIOLATION;
    set_parameters(record, fault->end_of_file ? 3 : 2, fault->access, fault->address,
                   fault->end_of_file ? mm_page_error(fault->address) : 0);
}

/* int 2Dh, the debugger's service: the service number is in eax. Windows steps over the byte that
 * follows and, with no debugger there, back. */
static void debug_service(struct ke_exception_record *record, struct ke_context *context)
{
    record->ExceptionCode = BREAKPOINT;
    KE_CONTEXT_PC(context) += 2;
    record->ExceptionAddress = (void *)(uintptr_t)KE_CONTEXT_PC(context);
    set_parameters(record, 1, general(context, 0), 0, 0);
}

static void protection(struct ke_exception_record *record, struct ke_context *context)
{
    struct instruction in = decode(KE_CONTEXT_PC(context));
    record->ExceptionCode = ACCESS_VIOLATION;
    if (in.opcode == 0xCD && *in.next == 0x2D) {
        debug_service(record, context);
    } else if (in.opcode == 0xCD && *in.next == 0x29) { /* the reason is in ecx */
        record->ExceptionCode = FAST_FAIL;
        record->ExceptionFlags = KE_EXCEPTION_NONCONTINUABLE;
        set_parameters(record, 1, (uint32_t)general(context, 1), 0, 0);
    } else if (is_privileged(&in)) {
        record->ExceptionCode = PRIVILEGED;
    } else {
        set_parameters(record, 2, KE_ACCESS_READ, UINTPTR_MAX, 0);
    }
}

/* Behind a breakpoint or `into`, the processor has already gone on. */
static void after(struct ke_exception_record *record, struct ke_context *context, enum ke_trap trap)
{
    uintptr_t address = KE_CONTEXT_PC(context) - 1;
    record->ExceptionAddress = (void *)address;
    if (trap == KE_TRAP_OVERFLOW) {
        record->ExceptionCode = INTEGER_OVERFLOW;
        return;
    }
    record->ExceptionCode = BREAKPOINT;
    KE_CONTEXT_PC(context) = address;
    set_parameters(record, 1, 0, 0, 0);
}

void ke_fault_record(const struct ke_fault *fault, struct ke_context *context,
                     struct ke_exception_record *record)
{
    *record = (struct ke_exception_record){
        .ExceptionCode = ILLEGAL,
        .ExceptionAddress = (void *)(uintptr_t)KE_CONTEXT_PC(context),
    };
    switch (fault->trap) {
    case KE_TRAP_DIVIDE:
        record->ExceptionCode = division_code(context);
        break;
    case KE_TRAP_DEBUG:
        record->ExceptionCode = SINGLE_STEP;
        context->EFlags &= ~EFLAGS_TF; /* who wants another step says so again */
        break;
    case KE_TRAP_BREAKPOINT:
    case KE_TRAP_OVERFLOW:
        after(record, context, fault->trap);
        break;
    case KE_TRAP_BOUND:
        record->ExceptionCode = ARRAY_BOUNDS;
        break;
    case KE_TRAP_OPCODE:
        if (decode(KE_CONTEXT_PC(context)).lock)
            record->ExceptionCode = INVALID_LOCK;
        break;
    case KE_TRAP_STACK: /* an address that cannot be, relative to the stack pointer */
        record->ExceptionCode = ACCESS_VIOLATION;
        set_parameters(record, 2, KE_ACCESS_READ, UINTPTR_MAX, 0);
        break;
    case KE_TRAP_PROTECTION:
        protection(record, context);
        break;
    case KE_TRAP_PAGE:
        page_fault(fault, record);
        break;
    case KE_TRAP_X87:
        x87(record, context);
        break;
    case KE_TRAP_ALIGNMENT:
        record->ExceptionCode = MISALIGNMENT;
        break;
    case KE_TRAP_SSE:
        sse(record, context);
        break;
    }
}
