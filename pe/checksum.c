/*
 * Questions about the file as a whole: the image checksum and the overlay.
 *
 * The checksum is the one's-complement-like sum of 16-bit words that ImageHlp's CheckSumMappedFile
 * documents: the CheckSum field counts as zero, carries are folded in, the file's length is added.
 */
#include "pe/internal.h"

/* The 16-bit word at `off`, where the bytes of the CheckSum field and those past the end are 0. */
static uint32_t word_at(struct pe_span bytes, uint64_t off, uint64_t field)
{
    uint16_t word;
    uint8_t low = 0, high = 0;
    if (off - field >= 4 && off + 1 != field && pe_u16(bytes, off, &word))
        return word;
    if (off - field >= 4) /* by wrapping, also true before the field */
        pe_u8(bytes, off, &low);
    if (off + 1 - field >= 4)
        pe_u8(bytes, off + 1, &high);
    return (uint32_t)(low | high << 8);
}

uint32_t pe_checksum(const struct pe_image *image)
{
    uint64_t field = image->h.optional_header_offset + 64, sum = 0;
    for (uint64_t off = 0; off < image->bytes.size; off += 2) {
        sum += word_at(image->bytes, off, field);
        sum = (sum & 0xffff) + (sum >> 16);
    }
    return (uint32_t)(sum + image->bytes.size);
}

uint64_t pe_overlay_offset(const struct pe_image *image)
{
    uint64_t end = image->h.size_of_headers;
    struct pe_section s;
    for (uint32_t i = 0; pe_section_at(image, i, &s); i++) {
        uint64_t section_end = (uint64_t)s.pointer_to_raw_data + s.size_of_raw_data;
        if (s.size_of_raw_data && section_end > end)
            end = section_end;
    }
    return end < image->bytes.size ? end : image->bytes.size;
}
