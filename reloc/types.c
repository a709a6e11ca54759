/*
 * What each base-relocation type does on each machine (PE specification, "Base Relocation Types";
 * facts 2.3 and 2.4).
 *
 * Windows 10 accepts the types 0-4 and 10 on x86 and x64 and refuses every other one; ARM adds two
 * types for its MOVW/MOVT pairs. XP and 7 have one function for all machines: other machines' types
 * work on x86 and x64, too (behaviours, Relocations). A type that the specification names without
 * saying how its parts pair up (RISC-V, LoongArch, IA-64, MIPS16) is known by name and refused.
 * Where the bytes of a field have no room for the whole delta the arithmetic wraps, as on Windows.
 *
 * Applying a delta and then its negative gives the field back for LOW, HIGHLOW, DIR64, IA64_IMM64
 * and the MOV32 types always; for HIGH, HIGHADJ and MIPS_JMPADDR, which hold a part of the address,
 * when the delta is a multiple of 64 KiB. Images are based at such multiples, so that is every real
 * delta. The exception is HIGHADJ of Windows 8 and later.
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
static void add_high_and_low(struct pe_span field, int64_t delta, uint32_t low)
{
    uint16_t high = 0;
    pe_u16(field, 0, &high);
    uint32_t value = ((uint32_t)high << 16) + low + (uint32_t)delta + 0x8000;
    pe_put_u16(field, 0, (uint16_t)(value >> 16));
}

/* With a delta of whole 64 KiB a signed low half never changes the outcome. */
static void add_highadj(struct pe_span field, int64_t delta, uint16_t parameter)
{
    add_high_and_low(field, delta, parameter | (parameter & 0x8000 ? 0xffff0000u : 0));
}

/*
 * Windows 8 and later take the low half without its sign, so that one from 0x8000 on adds 1: 0x9d
 * with the low half 0xffff and a delta of 0x20000 becomes 0xa0 there (behaviours, Relocations).
 */
static void add_highadj_unsigned(struct pe_span field, int64_t delta, uint16_t parameter)
{
    add_high_and_low(field, delta, parameter);
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

/*
 * IA-64's MOVL spreads an immediate of 64 bits over the slots 1 and 2 of a bundle of 16 bytes
 * (Intel Itanium manual, volume 3, formats X2): bits 22-62 are slot 1, which begins at bit 46; the
 * others are in slot 2. The parts of slot 2 are given by their place in the bundle's upper 64 bits.
 */
static const struct {
    uint8_t bit, width, immediate;
} movl_parts[] = {{36, 7, 0}, {50, 9, 7}, {45, 5, 16}, {44, 1, 21}, {59, 1, 63}};
#define MOVL_PARTS     (sizeof movl_parts / sizeof movl_parts[0])
#define MOVL_SLOT1_LOW 18u /* bits of slot 1 in the bundle's lower 64 bits */

static uint64_t bits(uint64_t value, uint32_t at, uint32_t width)
{
    return value >> at & ((1ull << width) - 1);
}

static void put_bits(uint64_t *value, uint32_t at, uint32_t width, uint64_t part)
{
    uint64_t mask = ((1ull << width) - 1) << at;
    *value = (*value & ~mask) | (part << at & mask);
}

static void add_ia64_imm64(struct pe_span field, int64_t delta, uint16_t parameter)
{
    uint64_t low = 0, high = 0, sum;
    pe_u64(field, 0, &low);
    pe_u64(field, 8, &high);
    sum = bits(low, 46, MOVL_SLOT1_LOW) << 22 | bits(high, 0, 23) << 40;
    for (size_t i = 0; i < MOVL_PARTS; i++)
        sum |= bits(high, movl_parts[i].bit, movl_parts[i].width) << movl_parts[i].immediate;
    sum += (uint64_t)delta;
    put_bits(&low, 46, MOVL_SLOT1_LOW, sum >> 22);
    put_bits(&high, 0, 23, sum >> 40);
    for (size_t i = 0; i < MOVL_PARTS; i++)
        put_bits(&high, movl_parts[i].bit, movl_parts[i].width, sum >> movl_parts[i].immediate);
    pe_put_u64(field, 0, low);
    pe_put_u64(field, 8, high);
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
    X86 = 32,   /* and x64 */
    OTHER = 64, /* ARM64 and the rest: the types that are no machine's own */
    EVERY = 127,
};

enum { OLD = PE_WINDOWS_XP | PE_WINDOWS_7, NEW = PE_WINDOWS_10, ALL = PE_WINDOWS_ALL };

static const struct reloc_type reloc_types[] = {
    {0, EVERY, ALL, 0, 0, "ABSOLUTE", NULL},
    {1, EVERY, ALL, 2, 0, "HIGH", add_high},
    {2, EVERY, ALL, 2, 0, "LOW", add_low},
    {3, EVERY, ALL, 4, 0, "HIGHLOW", add_highlow},
    {4, EVERY, NEW, 2, 0, "HIGHADJ", add_highadj_unsigned},
    {4, EVERY, OLD, 2, 0, "HIGHADJ", add_highadj},
    {5, ARM, ALL, 8, 0, "ARM_MOV32", add_arm_mov32},
    {5, MIPS, ALL, 4, 0, "MIPS_JMPADDR", add_mips_jmpaddr},
    {5, RISCV, ALL, RELOC_TYPE_REFUSED, 0, "RISCV_HIGH20", NULL},
    {5, X86, OLD, 4, 0, "MIPS_JMPADDR", add_mips_jmpaddr},
    {6, X86, OLD, 0, 0, "SECTION", NULL},
    {7, ARM, ALL, 8, 0, "THUMB_MOV32", add_thumb_mov32},
    {7, RISCV, ALL, RELOC_TYPE_REFUSED, 0, "RISCV_LOW12I", NULL},
    {7, X86, OLD, 0, 0, "REL32", NULL},
    {8, RISCV, ALL, RELOC_TYPE_REFUSED, 0, "RISCV_LOW12S", NULL},
    {8, LOONGARCH, ALL, RELOC_TYPE_REFUSED, 0, "LOONGARCH_MARK_LA", NULL},
    {9, MIPS, ALL, RELOC_TYPE_REFUSED, 0, "MIPS_JMPADDR16", NULL},
    {9, IA64, ALL, RELOC_TYPE_REFUSED, 0, "IA64_IMM64", NULL},
    {9, X86, OLD, 16, 16, "IA64_IMM64", add_ia64_imm64},
    {10, EVERY, ALL, 8, 0, "DIR64", add_dir64},
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
    case IMAGE_FILE_MACHINE_I386:
    case IMAGE_FILE_MACHINE_AMD64:
        return X86;
    default:
        return OTHER;
    }
}

static const struct reloc_type *find_type(uint16_t machine, uint8_t windows, uint8_t type)
{
    for (uint32_t i = 0; i < TABLE_ROWS; i++)
        if (reloc_types[i].type == type && (reloc_types[i].machines & family_of(machine)) &&
            (reloc_types[i].windows & windows))
            return &reloc_types[i];
    return NULL;
}

void reloc_types_of(const struct pe_image *image, const struct reloc_type *types[RELOC_TYPE_COUNT])
{
    for (uint8_t i = 0; i < RELOC_TYPE_COUNT; i++) {
        const struct reloc_type *row = find_type(image->h.machine, (uint8_t)image->windows, i);
        types[i] = row && row->width != RELOC_TYPE_REFUSED ? row : NULL;
    }
}

const char *reloc_type_name(uint16_t machine, uint8_t type)
{
    static const char *const nameless[RELOC_TYPE_COUNT] = {
        "TYPE_0", "TYPE_1", "TYPE_2",  "TYPE_3",  "TYPE_4",  "TYPE_5",  "TYPE_6",  "TYPE_7",
        "TYPE_8", "TYPE_9", "TYPE_10", "TYPE_11", "TYPE_12", "TYPE_13", "TYPE_14", "TYPE_15",
    };
    const struct reloc_type *row = find_type(machine, ALL, type);
    return row ? row->name : nameless[type % RELOC_TYPE_COUNT];
}

uint8_t reloc_type_width(const struct pe_image *image, uint8_t type)
{
    const struct reloc_type *row = find_type(image->h.machine, (uint8_t)image->windows, type);
    return row ? row->width : RELOC_TYPE_REFUSED;
}
