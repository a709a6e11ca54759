/*
 * Reading the headers of an image in memory: RtlImageNtHeader and its like (PE specification).
 *
 * The caller vouches for the memory, as on Windows: what there is of a size is given for
 * RtlImageNtHeaderEx only. A base with bit 0 set is a data file's handle, laid out as the file.
 */
#include <string.h>

#include "loader/win32/errors.h"
#include "loader/win32/ntdll/families.h"

/* Offsets from "PE\0\0": IMAGE_FILE_HEADER is 4 ... 24, then the optional header. */
enum {
    NT_SECTION_COUNT = 6,
    NT_OPTIONAL_SIZE = 20,
    NT_OPTIONAL = 24,
    OPTIONAL_SIZE_OF_HEADERS = 60,
    SECTION_SIZE = 40,
    SECTION_VIRTUAL_ADDRESS = 12,
    SECTION_RAW_SIZE = 16,
    SECTION_RAW_POINTER = 20,
};

#define MAX_E_LFANEW 0x10000000u /* 256 MiB: Windows refuses headers behind that */

static uint16_t u16(const uint8_t *at)
{
    uint16_t value;
    memcpy(&value, at, sizeof(value));
    return value;
}

static uint32_t u32(const uint8_t *at)
{
    uint32_t value;
    memcpy(&value, at, sizeof(value));
    return value;
}

enum { RTL_IMAGE_NT_HEADER_EX_FLAG_NO_RANGE_CHECK = 1 };

static nt_status WINAPI_DEF nt_RtlImageNtHeaderEx(ULONG flags, const uint8_t *base, ULONGLONG size,
                                                  const uint8_t **out)
{
    bool checks = !(flags & RTL_IMAGE_NT_HEADER_EX_FLAG_NO_RANGE_CHECK);
    if (!out)
        return STATUS_INVALID_PARAMETER;
    *out = NULL;
    if ((flags & ~1u) || !base || base == INVALID_HANDLE_VALUE)
        return STATUS_INVALID_PARAMETER;
    if ((checks && size < 64) || u16(base) != 0x5A4D) /* "MZ" */
        return (nt_status)STATUS_INVALID_IMAGE_FORMAT;
    uint32_t at = u32(base + 60);
    if (at >= MAX_E_LFANEW || (checks && (at > size || size - at < NT_OPTIONAL)))
        return (nt_status)STATUS_INVALID_IMAGE_FORMAT;
    if (u32(base + at) != 0x4550) /* "PE\0\0" */
        return (nt_status)STATUS_INVALID_IMAGE_FORMAT;
    *out = base + at;
    return STATUS_SUCCESS;
}

static const uint8_t *WINAPI_DEF nt_RtlImageNtHeader(const uint8_t *base)
{
    const uint8_t *headers = NULL;
    nt_RtlImageNtHeaderEx(RTL_IMAGE_NT_HEADER_EX_FLAG_NO_RANGE_CHECK, base, 0, &headers);
    return headers;
}

/* The IMAGE_SECTION_HEADER whose raw data hold an RVA. */
static const uint8_t *WINAPI_DEF nt_RtlImageRvaToSection(const uint8_t *headers,
                                                         const uint8_t *base, ULONG rva)
{
    const uint8_t *section = headers + NT_OPTIONAL + u16(headers + NT_OPTIONAL_SIZE);
    for (unsigned i = u16(headers + NT_SECTION_COUNT); i > 0; i--, section += SECTION_SIZE) {
        uint32_t start = u32(section + SECTION_VIRTUAL_ADDRESS);
        if (rva >= start && rva - start < u32(section + SECTION_RAW_SIZE))
            return section;
    }
    return NULL;
}

/* Where a file's byte of that RVA is, in a file that is mapped flat. */
static const uint8_t *WINAPI_DEF nt_RtlImageRvaToVa(const uint8_t *headers, const uint8_t *base,
                                                    ULONG rva, const uint8_t **last)
{
    const uint8_t *section = nt_RtlImageRvaToSection(headers, base, rva);
    if (!section)
        return NULL;
    if (last)
        *last = section;
    return base + u32(section + SECTION_RAW_POINTER) +
           (rva - u32(section + SECTION_VIRTUAL_ADDRESS));
}

static const void *WINAPI_DEF nt_RtlImageDirectoryEntryToData(const uint8_t *base, BOOLEAN mapped,
                                                              USHORT index, ULONG *size)
{
    if ((uintptr_t)base & 3) {
        mapped = mapped && !((uintptr_t)base & 1);
        base -= (uintptr_t)base & 3;
    }
    const uint8_t *headers = nt_RtlImageNtHeader(base);
    *size = 0;
    if (!headers)
        return NULL;
    const uint8_t *optional = headers + NT_OPTIONAL;
    uint16_t magic = u16(optional);
    if (magic != 0x10B && magic != 0x20B) /* PE32, PE32+ */
        return NULL;
    const uint8_t *directories = optional + (magic == 0x20B ? 112 : 96);
    if (index >= u32(directories - 4)) /* NumberOfRvaAndSizes */
        return NULL;
    uint32_t rva = u32(directories + 8 * index);
    if (!rva)
        return NULL;
    *size = u32(directories + 8 * index + 4);
    if (mapped || rva < u32(optional + OPTIONAL_SIZE_OF_HEADERS))
        return base + rva;
    return nt_RtlImageRvaToVa(headers, base, rva, NULL);
}

const struct ldr_builtin_export ntdll_image_exports[] = {
    LDR_FN(nt_, RtlImageNtHeaderEx),           LDR_FN(nt_, RtlImageNtHeader),
    LDR_FN(nt_, RtlImageRvaToSection),         LDR_FN(nt_, RtlImageRvaToVa),
    LDR_FN(nt_, RtlImageDirectoryEntryToData),
};
const size_t ntdll_image_count = sizeof(ntdll_image_exports) / sizeof(*ntdll_image_exports);
