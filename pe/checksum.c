/*
 * Questions about the file as a whole: the image checksum and the overlay.
 *
 * The checksum is the one's-complement-like sum of 16-bit words that ImageHlp's CheckSumMappedFile
 * documents: the CheckSum field counts as zero, carries are folded in, the file's length is added.
 */
#include "pe/internal.h"

uint32_t pe_checksum(const struct pe_image *image)
{
    uint64_t field = image->h.optional_header_offset + 64, sum = 0;
    for (uint64_t off = 0; off < image->bytes.size; off += 2) {
        uint8_t low = 0, high = 0;
        if (off - field >= 4) /* also true for every offset before the field, by wrapping */
            pe_u8(image->bytes, off, &low);
        if (off + 1 - field >= 4)
            pe_u8(image->bytes, off + 1, &high);
        sum += (uint32_t)(low | high << 8);
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
