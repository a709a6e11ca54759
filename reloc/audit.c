/*
 * Which instruction a fixup sits in, decoded by Zydis.
 *
 * x86 code has no marks between instructions, so decoding begins at an address where one is known
 * to begin and runs forward. A sweep that went through data in between falls back into step after a
 * few instructions; the answer is accepted only when the fixup coincides with an immediate or a
 * displacement, the only places where a linker puts an address.
 */
#include "reloc/audit.h"
#include "reloc/zydis.h"

#ifdef HAVE_ZYDIS

#include <string.h>

#include "pe/dirs.h"
#include "pe/exports.h"
#include "reloc/types.h"

/*
 * A sweep starts at most this far before the fixup: enough to be in step again, and what a hostile
 * image can cost per fixup.
 */
#define MAX_SWEEP 0x10000u
/* Ordinals have 16 bits. */
#define MAX_EXPORTS 0x10000u

static bool decoder_of(const struct pe_image *image, ZydisDecoder *decoder)
{
    const struct reloc_zydis *zydis = reloc_zydis();
    if (zydis == NULL)
        return false;
    switch (image->h.machine) {
    case IMAGE_FILE_MACHINE_I386:
        return ZYAN_SUCCESS(
            zydis->decoder_init(decoder, ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_32));
    case IMAGE_FILE_MACHINE_AMD64:
        return ZYAN_SUCCESS(
            zydis->decoder_init(decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64));
    default:
        return false;
    }
}

/* ---- known starts ------------------------------------------------------------------------------
 */

/* Narrows [position, next_start) around `rva` by one more known start. */
static void consider_start(struct reloc_auditor *auditor, uint32_t rva, uint32_t start)
{
    if (start <= rva && start > auditor->position)
        auditor->position = start;
    if (start > rva && start < auditor->next_start)
        auditor->next_start = start;
}

static void consider_exports(struct reloc_auditor *auditor, uint32_t rva)
{
    struct pe_exports exports;
    struct pe_span table; /* in one piece: an address table in several is not worth slow reading */
    uint32_t start;
    if (!pe_exports_open(auditor->image, &exports))
        return;
    uint32_t count = exports.function_count < MAX_EXPORTS ? exports.function_count : MAX_EXPORTS;
    if (count == 0 || !pe_rva_span(auditor->image, exports.functions_rva, 4 * count, &table))
        return;
    for (uint32_t i = 0; i < count && pe_u32(table, 4 * (uint64_t)i, &start); i++)
        consider_start(auditor, rva, start);
}

/* The table is sorted, as the specification demands: the two neighbours of `rva` are enough. */
static void consider_runtime_functions(struct reloc_auditor *auditor, uint32_t rva)
{
    uint32_t low = 0, high = pe_runtime_function_count(auditor->image);
    while (low < high) {
        struct pe_runtime_function function;
        uint32_t middle = low + (high - low) / 2;
        if (!pe_runtime_function_at(auditor->image, middle, &function))
            return;
        consider_start(auditor, rva, function.begin);
        if (function.begin <= rva)
            low = middle + 1;
        else
            high = middle;
    }
}

/* Moves to the last known start at or before `rva`; false when `rva` lies in no executable section.
 */
static bool seek(struct reloc_auditor *auditor, uint32_t rva)
{
    if (rva < auditor->code_begin || rva >= auditor->code_end) {
        struct pe_section section;
        if (!pe_section_of_rva(auditor->image, rva, &section, NULL) ||
            !(section.characteristics & IMAGE_SCN_MEM_EXECUTE))
            return false;
        auditor->code_begin = section.virtual_address;
        auditor->code_end = section.virtual_address + section.mapped_size;
        auditor->position = UINT32_MAX;
    }
    if (rva < auditor->position || rva >= auditor->next_start) {
        if (rva < auditor->position)
            auditor->position = auditor->code_begin;
        auditor->next_start = auditor->code_end;
        consider_start(auditor, rva, auditor->image->h.address_of_entry_point);
        consider_exports(auditor, rva);
        consider_runtime_functions(auditor, rva);
    }
    if (rva - auditor->position > MAX_SWEEP)
        auditor->position = rva - MAX_SWEEP;
    return true;
}

/* ---- decoding ----------------------------------------------------------------------------------
 */

/* The code at `rva`, at most one instruction's length of it; returns the bytes copied. */
static uint32_t fetch(const struct reloc_auditor *auditor, uint32_t rva,
                      uint8_t code[ZYDIS_MAX_INSTRUCTION_LENGTH])
{
    uint32_t len = auditor->code_end - rva;
    if (len > ZYDIS_MAX_INSTRUCTION_LENGTH)
        len = ZYDIS_MAX_INSTRUCTION_LENGTH;
    while (len > 0 && !pe_rva_copy(auditor->image, rva, code, len))
        len--;
    return len;
}

/* Steps on to the instruction that holds `rva`. */
static bool sweep(struct reloc_auditor *auditor, const ZydisDecoder *decoder, uint32_t rva)
{
    while (auditor->position <= rva) {
        uint8_t code[ZYDIS_MAX_INSTRUCTION_LENGTH];
        ZydisDecodedInstruction insn;
        uint32_t len = fetch(auditor, auditor->position, code);
        bool decoded =
            ZYAN_SUCCESS(reloc_zydis()->decode_instruction(decoder, ZYAN_NULL, code, len, &insn));
        uint32_t step = decoded ? insn.length : 1;
        if (rva - auditor->position < step)
            return decoded;
        auditor->position += step;
    }
    return false;
}

static bool field_holds(ZyanU8 offset, ZyanU8 bits, uint32_t at, uint8_t width)
{
    return bits != 0 && at >= offset && at + width <= offset + bits / 8u;
}

static bool is_address_field(const ZydisDecodedInstruction *insn, uint32_t at, uint8_t width)
{
    return field_holds(insn->raw.disp.offset, insn->raw.disp.size, at, width) ||
           field_holds(insn->raw.imm[0].offset, insn->raw.imm[0].size, at, width) ||
           field_holds(insn->raw.imm[1].offset, insn->raw.imm[1].size, at, width);
}

static bool disassemble(const ZydisDecoder *decoder, const uint8_t *code, uint32_t len,
                        uint64_t address, char *text, size_t size, ZydisDecodedInstruction *insn)
{
    ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
    ZydisFormatter formatter;
    const struct reloc_zydis *zydis = reloc_zydis();
    return ZYAN_SUCCESS(zydis->decode_full(decoder, code, len, insn, operands)) &&
           ZYAN_SUCCESS(zydis->formatter_init(&formatter, ZYDIS_FORMATTER_STYLE_INTEL)) &&
           ZYAN_SUCCESS(zydis->format_instruction(&formatter, insn, operands,
                                                  insn->operand_count_visible, text, size, address,
                                                  ZYAN_NULL));
}

bool reloc_auditor_find(struct reloc_auditor *auditor, const struct pe_fixup *fixup, int64_t delta,
                        struct reloc_audit *out)
{
    const struct pe_image *image = auditor->image;
    const struct reloc_type *types[RELOC_TYPE_COUNT];
    struct reloc_audit audit = {.fixup_rva = fixup->rva};
    uint8_t code[ZYDIS_MAX_INSTRUCTION_LENGTH];
    ZydisDecoder decoder;
    ZydisDecodedInstruction insn;

    reloc_types_of(image, types);
    const struct reloc_type *type = types[fixup->type % RELOC_TYPE_COUNT];
    if (!type || !type->apply || !decoder_of(image, &decoder) || !seek(auditor, fixup->rva) ||
        !sweep(auditor, &decoder, fixup->rva))
        return false;

    audit.insn_rva = auditor->position;
    uint64_t address = image->h.image_base + audit.insn_rva;
    uint32_t len = fetch(auditor, audit.insn_rva, code);
    uint32_t at = fixup->rva - audit.insn_rva;
    struct pe_span field = {.data = code, .size = len};
    if (!disassemble(&decoder, code, len, address, audit.before, sizeof audit.before, &insn) ||
        !is_address_field(&insn, at, type->width) || !pe_sub(field, at, type->width, &field))
        return false;
    audit.insn_len = insn.length;
    type->apply(field, delta, fixup->parameter);
    if (!disassemble(&decoder, code, len, address + (uint64_t)delta, audit.after,
                     sizeof audit.after, &insn))
        return false;
    *out = audit;
    return true;
}

#else

bool reloc_auditor_find(struct reloc_auditor *auditor, const struct pe_fixup *fixup, int64_t delta,
                        struct reloc_audit *out)
{
    return false;
}

#endif

void reloc_auditor_init(struct reloc_auditor *auditor, const struct pe_image *image)
{
    *auditor = (struct reloc_auditor){.image = image};
}

bool reloc_audit_fixup(const struct pe_image *image, const struct pe_fixup *fixup, int64_t delta,
                       struct reloc_audit *out)
{
    struct reloc_auditor auditor;
    reloc_auditor_init(&auditor, image);
    return reloc_auditor_find(&auditor, fixup, delta, out);
}
