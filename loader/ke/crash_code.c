/*
 * The instructions around a fault, by Zydis.
 *
 * Instructions before the fault are shown when decoding from the start of the function comes out at
 * it: x86 code cannot be read backwards.
 */
#include "loader/ke/crash.h"
#include "loader/ke/unwind.h"
#include "loader/ldr/imagemap.h"
#include "reloc/zydis.h"

static void report_bytes(uintptr_t pc)
{
    enum { SHOWN = 16 };
    uint8_t code[SHOWN];
    struct ke_text text = {.length = 0};
    size_t length = ke_peek(pc, code, sizeof(code));
    ke_text_put(&text, length ? "  => " : "  => no instruction can be read there");
    if (length)
        ke_text_hex(&text, pc);
    ke_text_put(&text, length ? " " : "");
    for (size_t i = 0; i < length; i++) {
        ke_text_put(&text, " ");
        ke_text_hex_padded(&text, code[i], 2);
    }
    ke_text_report(&text);
}

#ifdef HAVE_ZYDIS

enum {
    BEFORE = 3,
    AFTER = 4, /* the faulting one included */
    SWEEP_MAX = 4096,
    BYTES_SHOWN = 8, /* columns, not a bound */
};

/*
 * What runs in an image holds no lock of the C library that loading Zydis takes; host code that
 * faults may be malloc() itself.
 */
static const struct reloc_zydis *disassembler(uintptr_t pc)
{
    return ldr_image_at(pc, NULL) ? reloc_zydis() : reloc_zydis_loaded();
}

static bool decode(uintptr_t at, uint8_t code[ZYDIS_MAX_INSTRUCTION_LENGTH],
                   ZydisDecodedInstruction *insn,
                   ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT])
{
    ZydisDecoder decoder;
    size_t length = ke_peek(at, code, ZYDIS_MAX_INSTRUCTION_LENGTH);
    return ZYAN_SUCCESS(reloc_zydis_loaded()->decoder_init(
               &decoder, KE_BY_WORD(ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_MACHINE_MODE_LEGACY_32),
               KE_BY_WORD(ZYDIS_STACK_WIDTH_64, ZYDIS_STACK_WIDTH_32))) &&
           ZYAN_SUCCESS(reloc_zydis_loaded()->decode_full(&decoder, code, length, insn, operands));
}

/* Shows one instruction and returns its length, 0 when there is none. */
static unsigned show(uintptr_t at, bool marked)
{
    uint8_t code[ZYDIS_MAX_INSTRUCTION_LENGTH];
    ZydisDecodedInstruction insn;
    ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
    ZydisFormatter formatter;
    char words[128];
    if (!decode(at, code, &insn, operands) ||
        !ZYAN_SUCCESS(
            reloc_zydis_loaded()->formatter_init(&formatter, ZYDIS_FORMATTER_STYLE_INTEL)) ||
        !ZYAN_SUCCESS(reloc_zydis_loaded()->format_instruction(&formatter, &insn, operands,
                                                               insn.operand_count_visible, words,
                                                               sizeof(words), at, ZYAN_NULL)))
        return 0;
    struct ke_text text = {.length = 0};
    ke_text_put(&text, marked ? "  => " : "     ");
    ke_text_hex(&text, at);
    ke_text_put(&text, " ");
    for (unsigned i = 0; i < insn.length || i < BYTES_SHOWN; i++) {
        ke_text_put(&text, i < insn.length ? " " : "   ");
        if (i < insn.length)
            ke_text_hex_padded(&text, code[i], 2);
    }
    ke_text_put(&text, "  ");
    ke_text_put(&text, words);
    ke_text_report(&text);
    return insn.length;
}

/* Where a decoding that comes out at `pc` begins: a function's start, or `pc` itself. */
static uintptr_t function_start(uintptr_t pc)
{
    struct ke_text unused = {.length = 0};
    uintptr_t start = 0;
    ke_text_symbol(&unused, pc, &start);
#ifdef __x86_64__
    uint64_t base;
    const struct ke_runtime_function *function = ke_lookup_function_entry(pc, &base, NULL);
    uint32_t begin;
    if (function && ke_peek((uintptr_t)&function->BeginAddress, &begin, 4) == 4)
        start = base + begin;
#endif
    return start && start <= pc && pc - start <= SWEEP_MAX ? start : pc;
}

/* The addresses of up to BEFORE instructions in front of `pc`, in a ring; returns how many. */
static unsigned find_before(uintptr_t pc, uintptr_t ring[BEFORE])
{
    uintptr_t at = function_start(pc);
    unsigned count = 0;
    while (at < pc) {
        uint8_t code[ZYDIS_MAX_INSTRUCTION_LENGTH];
        ZydisDecodedInstruction insn;
        ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
        if (!decode(at, code, &insn, operands))
            return 0;
        ring[count++ % BEFORE] = at;
        at += insn.length;
    }
    return at == pc ? count : 0;
}

static void report_instructions(uintptr_t pc)
{
    uintptr_t ring[BEFORE];
    unsigned count = find_before(pc, ring);
    for (unsigned i = count > BEFORE ? count - BEFORE : 0; i < count; i++)
        show(ring[i % BEFORE], false);
    uintptr_t at = pc;
    for (unsigned i = 0, length; i < AFTER && (length = show(at, at == pc)) > 0; i++)
        at += length;
    if (at == pc) {
        struct ke_text text = {.length = 0};
        ke_text_put(&text, "  => no instruction can be read there");
        ke_text_report(&text);
    }
}

void ke_report_code(uintptr_t pc)
{
    if (disassembler(pc))
        report_instructions(pc);
    else
        report_bytes(pc);
}

#else

void ke_report_code(uintptr_t pc)
{
    report_bytes(pc);
}

#endif
