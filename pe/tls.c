/*
 * The TLS directory (PE specification, .tls; facts 3.7). Its fields are VAs and thus subject to
 * fixups. Start, end and sizes are not validated, as Windows does not either (behaviours, TLS).
 */
#include "pe/dirs.h"
#include "pe/internal.h"

#define T(name, off32, off64)  PE_FIELD(struct pe_tls, name, off32, 4, off64, 8)
#define T4(name, off32, off64) PE_FIELD(struct pe_tls, name, off32, 4, off64, 4)
static const struct pe_field fields[] = {
    T(start_address_of_raw_data, 0, 0), T(end_address_of_raw_data, 4, 8),
    T(address_of_index, 8, 16),         T(address_of_callbacks, 12, 24),
    T4(size_of_zero_fill, 16, 32),      T4(characteristics, 20, 36),
};

/* Bits 20-23 are those of IMAGE_SCN_ALIGN_*: 1 = 1 byte ... 14 = 8192 bytes. */
static uint32_t alignment_of(uint32_t characteristics)
{
    uint32_t code = characteristics >> 20 & 0xf;
    return code >= 1 && code <= 14 ? 1u << (code - 1) : 0;
}

bool pe_tls_get(const struct pe_image *image, struct pe_tls *out)
{
    uint8_t buffer[40];
    struct pe_span directory = {buffer, image->h.pe32_plus ? 40 : 24};
    struct pe_directory dir;
    struct pe_tls tls = {0};
    if (!pe_directory_get(image, IMAGE_DIRECTORY_ENTRY_TLS, &dir) ||
        !pe_rva_copy(image, dir.rva, buffer, (uint32_t)directory.size))
        return false;
    pe_decode(directory, fields, PE_ARRAY_SIZE(fields), image->h.pe32_plus, &tls);
    tls.alignment = alignment_of(tls.characteristics);
    *out = tls;
    return true;
}

int pe_tls_callback(const struct pe_image *image, const struct pe_tls *tls, uint32_t i,
                    uint64_t *va)
{
    uint64_t size = pe_pointer_size(image), at = tls->address_of_callbacks, value;
    uint32_t rva;
    if (at == 0)
        return 0;
    if (at > UINT64_MAX - i * size || !pe_va_to_rva(image, at + i * size, &rva) ||
        !pe_rva_ptr(image, rva, &value))
        return -1;
    if (value == 0)
        return 0;
    *va = value;
    return 1;
}
