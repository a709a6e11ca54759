/*
 * What each base-relocation type does on each machine (PE specification, "Base Relocation Types";
 * facts 2.3 and 2.4).
 *
 * Windows 10 accepts the types 0-4 and 10 on x86 and x64 and refuses every other one; ARM adds two
 * types for its MOVW/MOVT pairs. A type that the specification names without saying how its parts
 * pair up (RISC-V, LoongArch, IA-64, MIPS16) is known by name and refused. Where the bytes of a
 * field have no room for the whole delta the arithmetic wraps, as on Windows.
 *
 * Applying a delta and then its negative gives the field back for LOW, HIGHLOW, DIR64 and the MOV32
 * types always; for HIGH, HIGHADJ and MIPS_JMPADDR, which hold a part of the address, when the
 * delta is a multiple of 64 KiB. Images are based at such multiples, so that is every real delta.
 */
#include "reloc/types.h"

#include <stddef.h>

/* ---- the fields -------------------------------------------------------------------------------
 */

static void add_high(struct pe_span field, int64_t delta, uint16_t parameter)
{
    uint16_t value = 0;
    pe_u16(field, 0, &value);
    pe_put_u16(field, 0, (uint16_t)(value + ((uint64_t)delta >> 16)));
}

static void add_low(struct pe_span field, int64_t delta, uint16_t parameter)
{
    uint16_t value = 0;
    pe_u16(field, 0, &value);
    pe_put_u16(field, 0, (uint16_t)(value + (uint64_t)delta));
}

static void add_highlow(struct pe_span field, int64_t delta, uint16_t parameter)
{
    uint32_t value = 0;
    pe_u32(field, 0, &value);
    pe_put_u32(field, 0, value + (uint32_t)delta);
}

/*
 * The field is the high half of an address whose low half, a signed number, is the parameter. The
 * 0x8000 makes up for the borrow that the signed low half causes.
 */
static void add_highadj(struct pe_span field, int64_t delta, uint16_t parameter)
{
    uint16_t high = 0;
    pe_u16(field, 0, &high);
    uint32_t low = parameter;
    if (parameter & 0x8000)
        low |= 0xffff0000u;
    uint32_t value = ((uint32_t)high << 16) + low + (uint32_t)delta + 0x8000;
    pe_put_u16(field, 0, (uint16_t)(value >> 16));
}

static void add_dir64(struct pe_span field, int64_t delta, uint16_t parameter)
{
    uint64_t value = 0;
    pe_u64(field, 0, &value);
    pe_put_u64(field, 0, value + (uint64_t)delta);
}

/* The low 26 bits of a MIPS jump hold a word address. */
static void add_mips_jmpaddr(struct pe_span field, int64_t delta, uint16_t parameter)
{
    const uint32_t target = 0x03ffffff;
    uint32_t insn = 0;
    pe_u32(field, 0, &insn);
    uint32_t sum = insn + (uint32_t)((uint64_t)delta >> 2);
    pe_put_u32(field, 0, (insn & ~target) | (sum & target));
}

/* A32 MOVW and MOVT (encoding A2, A1) hold imm16 as imm4:imm12 in bits 19-16 and 11-0. */
static uint32_t arm_imm16(uint32_t insn)
{
    return (insn >> 4 & 0xf000) | (insn & 0x0fff);
}

static uint32_t arm_with_imm16(uint32_t insn, uint32_t imm)
{
    return (insn & ~0x000f0fffu) | (imm & 0xf000) << 4 | (imm & 0x0fff);
}

static void add_arm_mov32(struct pe_span field, int64_t delta, uint16_t parameter)
{
    uint32_t movw = 0, movt = 0;
    pe_u32(field, 0, &movw);
    pe_u32(field, 4, &movt);
    uint32_t value = (arm_imm16(movt) << 16 | arm_imm16(movw)) + (uint32_t)delta;
    pe_put_u32(field, 0, arm_with_imm16(movw, value & 0xffff));
    pe_put_u32(field, 4, arm_with_imm16(movt, value >> 16));
}

/*
 * T32 MOVW and MOVT (encoding T3, T1) hold imm16 as imm4:i:imm3:imm8. Read as one little-endian
 * word, the first halfword (i in bit 10, imm4 in bits 3-0) comes low, the second (imm3 in bits
 * 14-12, imm8) in the upper half.
 */
static uint32_t thumb_imm16(uint32_t insn)
{
    return (insn & 0x000f) << 12 | (insn >> 10 & 1) << 11 | (insn >> 28 & 7) << 8 |
           (insn >> 16 & 0xff);
}

static uint32_t thumb_with_imm16(uint32_t insn, uint32_t imm)
{
    return (insn & ~0x70ff040fu) | (imm >> 12 & 0xf) | (imm >> 11 & 1) << 10 |
           (imm >> 8 & 7) << 28 | (imm & 0xff) << 16;
}

static void add_thumb_mov32(struct pe_span field, int64_t delta, uint16_t parameter)
{
    uint32_t movw = 0, movt = 0;
    pe_u32(field, 0, &movw);
    pe_u32(field, 4, &movt);
    uint32_t value = (thumb_imm16(movt) << 16 | thumb_imm16(movw)) + (uint32_t)delta;
    pe_put_u32(field, 0, thumb_with_imm16(movw, value & 0xffff));
    pe_put_u32(field, 4, thumb_with_imm16(movt, value >> 16));
}

/* ---- the table --------------------------------------------------------------------------------
 */

enum machine_family {
    ARM = 1,
    MIPS = 2,
    RISCV = 4,
    LOONGARCH = 8,
    IA64 = 16,
    OTHER = 32, /* x86, x64, ARM64 and the rest: the types that are no machine's own */
    EVERY = 63,
};

static const struct reloc_type reloc_types[] = {
    {0, EVERY, 0, "ABSOLUTE", NULL},
    {1, EVERY, 2, "HIGH", add_high},
    {2, EVERY, 2, "LOW", add_low},
    {3, EVERY, 4, "HIGHLOW", add_highlow},
    {4, EVERY, 2, "HIGHADJ", add_highadj},
    {5, ARM, 8, "ARM_MOV32", add_arm_mov32},
    {5, MIPS, 4, "MIPS_JMPADDR", add_mips_jmpaddr},
    {5, RISCV, RELOC_TYPE_REFUSED, "RISCV_HIGH20", NULL},
    {7, ARM, 8, "THUMB_MOV32", add_thumb_mov32},
    {7, RISCV, RELOC_TYPE_REFUSED, "RISCV_LOW12I", NULL},
    {8, RISCV, RELOC_TYPE_REFUSED, "RISCV_LOW12S", NULL},
    {8, LOONGARCH, RELOC_TYPE_REFUSED, "LOONGARCH_MARK_LA", NULL},
    {9, MIPS, RELOC_TYPE_REFUSED, "MIPS_JMPADDR16", NULL},
    {9, IA64, RELOC_TYPE_REFUSED, "IA64_IMM64", NULL},
    {10, EVERY, 8, "DIR64", add_dir64},
};

#define TABLE_ROWS (sizeof reloc_types / sizeof reloc_types[0])

static enum machine_family family_of(uint16_t machine)
{
    switch (machine) {
    case IMAGE_FILE_MACHINE_ARM:
    case IMAGE_FILE_MACHINE_THUMB:
    case IMAGE_FILE_MACHINE_ARMNT:
        return ARM;
    case IMAGE_FILE_MACHINE_R4000:
        return MIPS;
    case IMAGE_FILE_MACHINE_RISCV32:
    case IMAGE_FILE_MACHINE_RISCV64:
        return RISCV;
    case IMAGE_FILE_MACHINE_LOONGARCH32:
    case IMAGE_FILE_MACHINE_LOONGARCH64:
        return LOONGARCH;
    case IMAGE_FILE_MACHINE_IA64:
        return IA64;
    default:
        return OTHER;
    }
}

static const struct reloc_type *find_type(uint16_t machine, uint8_t type)
{
    for (uint32_t i = 0; i < TABLE_ROWS; i++)
        if (reloc_types[i].type == type && (reloc_types[i].machines & family_of(machine)))
            return &reloc_types[i];
    return NULL;
}

void reloc_types_of(uint16_t machine, const struct reloc_type *types[RELOC_TYPE_COUNT])
{
    for (uint8_t i = 0; i < RELOC_TYPE_COUNT; i++) {
        const struct reloc_type *row = find_type(machine, i);
        types[i] = row && row->width != RELOC_TYPE_REFUSED ? row : NULL;
    }
}

const char *reloc_type_name(uint16_t machine, uint8_t type)
{
    static const char *const nameless[RELOC_TYPE_COUNT] = {
        "TYPE_0", "TYPE_1", "TYPE_2",  "TYPE_3",  "TYPE_4",  "TYPE_5",  "TYPE_6",  "TYPE_7",
        "TYPE_8", "TYPE_9", "TYPE_10", "TYPE_11", "TYPE_12", "TYPE_13", "TYPE_14", "TYPE_15",
    };
    const struct reloc_type *row = find_type(machine, type);
    return row ? row->name : nameless[type % RELOC_TYPE_COUNT];
}

uint8_t reloc_type_width(uint16_t machine, uint8_t type)
{
    const struct reloc_type *row = find_type(machine, type);
    return row ? row->width : RELOC_TYPE_REFUSED;
}
