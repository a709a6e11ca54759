/*
 * Where exception tables lie (eh_table.h).
 */
#include "loader/win32/crt/eh_table.h"

#include "loader/ldr/imagemap.h"

bool eh_image_at(uintptr_t address, struct eh_image *out)
{
    struct ldr_image_range range;
    if (!ldr_image_at(address, &range)) {
        return false;
    }
    *out = (struct eh_image){range.base, {(const uint8_t *)range.base, range.size}};
    return true;
}

bool eh_reference(const struct eh_image *image, uint64_t at, uint32_t *offset)
{
    uint32_t value;
    if (!pe_u32(image->bytes, at, &value)) {
        return false;
    }
#if defined(__i386__)
    value = value != 0 ? value - (uint32_t)image->base : 0;
#endif
    *offset = value;
    return value < image->bytes.size;
}

bool eh_holds(const struct eh_image *image, uint32_t offset, uint64_t count, uint32_t size)
{
    struct pe_span records;
    return pe_sub(image->bytes, offset, count * size, &records);
}
