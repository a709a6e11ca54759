/*
 * The encodings of call-frame information: integers, LEB128, encoded pointers, and the headers of
 * CIEs and FDEs (LSB, "Exception frames"; DWARF 5, sections 6.4.1 and 7.6).
 */
#include "loader/ke/cfi.h"

#include <string.h>

/* DW_EH_PE_*: the low four bits are the form, the next three what it is relative to. */
enum {
    PE_FORM = 0x0F,
    PE_RELATIVE = 0x70,
    PE_ABSOLUTE = 0x00,
    PE_PCREL = 0x10,
    PE_ALIGNED = 0x50,
    PE_INDIRECT = 0x80,
    PE_OMIT = 0xFF,
};
enum { FORM_ULEB = 0x01, FORM_SIGNED = 0x08, FORM_SLEB = 0x09 };

struct cfi_reader ke_cfi_take(struct cfi_reader *reader, uint64_t length)
{
    if (length > (uint64_t)(reader->end - reader->at)) {
        reader->bad = true;
        reader->at = reader->end;
        return (struct cfi_reader){reader->end, reader->end, true};
    }
    reader->at += length;
    return (struct cfi_reader){reader->at - length, reader->at, false};
}

uint64_t ke_cfi_uint(struct cfi_reader *reader, unsigned width)
{
    uint64_t value = 0;
    if (width == 1 && reader->at < reader->end) /* nearly always */
        return *reader->at++;
    struct cfi_reader bytes = ke_cfi_take(reader, width);
    memcpy(&value, bytes.at, (size_t)(bytes.end - bytes.at));
    return value;
}

int64_t ke_cfi_int(struct cfi_reader *reader, unsigned width)
{
    unsigned unused = 64 - 8 * width;
    return (int64_t)(ke_cfi_uint(reader, width) << unused) >> unused;
}

/* The shift ends up behind the last group of seven bits. */
static uint64_t leb(struct cfi_reader *reader, unsigned *shift, uint8_t *last)
{
    uint64_t value = 0;
    *shift = 0;
    do {
        *last = (uint8_t)ke_cfi_uint(reader, 1);
        if (*shift < 64)
            value |= (uint64_t)(*last & 0x7F) << *shift;
        *shift += 7;
    } while ((*last & 0x80) && !reader->bad);
    return value;
}

uint64_t ke_cfi_uleb(struct cfi_reader *reader)
{
    unsigned shift;
    uint8_t last;
    return leb(reader, &shift, &last);
}

int64_t ke_cfi_sleb(struct cfi_reader *reader)
{
    unsigned shift;
    uint8_t last;
    uint64_t value = leb(reader, &shift, &last);
    if (shift < 64 && (last & 0x40))
        value |= ~(uint64_t)0 << shift;
    return (int64_t)value;
}

bool ke_cfi_pointer(struct cfi_reader *reader, uint8_t encoding, uintptr_t *out)
{
    static const uint8_t widths[8] = {sizeof(uintptr_t), 0, 2, 4, 8};
    *out = 0;
    if (encoding == PE_OMIT)
        return true;
    uint8_t relative = encoding & PE_RELATIVE, form = encoding & PE_FORM;
    if (relative == PE_ALIGNED)
        ke_cfi_take(reader, -(uintptr_t)reader->at % sizeof(uintptr_t));
    uintptr_t here = (uintptr_t)reader->at;
    unsigned width = widths[form & 7];
    if (form == FORM_ULEB)
        *out = (uintptr_t)ke_cfi_uleb(reader);
    else if (form == FORM_SLEB)
        *out = (uintptr_t)ke_cfi_sleb(reader);
    else if (width && (form & FORM_SIGNED))
        *out = (uintptr_t)ke_cfi_int(reader, width);
    else if (width)
        *out = (uintptr_t)ke_cfi_uint(reader, width);
    else
        return false;
    if (relative == PE_PCREL)
        *out += here;
    return !reader->bad && !(encoding & PE_INDIRECT);
}

/* What stands behind the length of an entry. */
static struct cfi_reader open_entry(const uint8_t *at)
{
    uint32_t length;
    memcpy(&length, at, sizeof(length));
    at += sizeof(length);
    if (length != 0xFFFFFFFF)
        return (struct cfi_reader){at, at + length, false};
    uint64_t longer;
    memcpy(&longer, at, sizeof(longer));
    at += sizeof(longer);
    return (struct cfi_reader){at, at + (uintptr_t)longer, false};
}

/* Letters of the augmentation string and their data, in order. */
static bool read_augmentation(struct cfi_reader *cie, const char *letters,
                              struct cfi_description *out)
{
    if (*letters != 'z')
        return *letters == 0;
    out->has_augmentation = true;
    struct cfi_reader data = ke_cfi_take(cie, ke_cfi_uleb(cie));
    while (*++letters) {
        uintptr_t personality;
        if (*letters == 'R')
            out->pointer_encoding = (uint8_t)ke_cfi_uint(&data, 1);
        else if (*letters == 'L')
            ke_cfi_uint(&data, 1); /* the encoding of the FDE's own data, which is not wanted */
        else if (*letters == 'P')
            ke_cfi_pointer(&data, (uint8_t)(ke_cfi_uint(&data, 1) & ~PE_INDIRECT), &personality);
        else if (*letters == 'S')
            out->is_signal = true;
        else
            return true; /* unknown ones tell nothing about registers; their length is known */
    }
    return !data.bad;
}

static bool read_cie(const uint8_t *at, struct cfi_description *out)
{
    struct cfi_reader cie = open_entry(at);
    ke_cfi_uint(&cie, 4); /* 0 */
    unsigned version = (unsigned)ke_cfi_uint(&cie, 1);
    const char *letters = (const char *)cie.at;
    while (ke_cfi_uint(&cie, 1)) {
    }
    if (cie.bad || (version != 1 && version != 3))
        return false;
    out->code_align = ke_cfi_uleb(&cie);
    out->data_align = ke_cfi_sleb(&cie);
    out->pc_column = version == 1 ? ke_cfi_uint(&cie, 1) : ke_cfi_uleb(&cie);
    if (!read_augmentation(&cie, letters, out))
        return false;
    out->initial = cie;
    return !cie.bad && out->pc_column == CFI_PC;
}

bool ke_cfi_describe(const void *fde, struct cfi_description *out)
{
    *out = (struct cfi_description){.pointer_encoding = PE_ABSOLUTE};
    struct cfi_reader reader = open_entry(fde);
    const uint8_t *field = reader.at;
    int32_t distance = (int32_t)ke_cfi_uint(&reader, 4);
    if (!distance || !read_cie(field - distance, out))
        return false;
    uintptr_t begin, length;
    if (!ke_cfi_pointer(&reader, out->pointer_encoding & ~PE_INDIRECT, &begin) ||
        !ke_cfi_pointer(&reader, out->pointer_encoding & PE_FORM, &length))
        return false;
    if (out->has_augmentation)
        ke_cfi_take(&reader, ke_cfi_uleb(&reader));
    out->program = reader;
    return !reader.bad;
}
