/*
 * The exception directory of x64 images: an array of RUNTIME_FUNCTION (PE specification, .pdata).
 * Other machines give their entries other forms; for them the table counts as empty.
 */
#include "pe/dirs.h"
#include "pe/internal.h"

#define ENTRY_SIZE 12u

uint32_t pe_runtime_function_count(const struct pe_image *image)
{
    struct pe_directory dir;
    if (image->h.machine != IMAGE_FILE_MACHINE_AMD64 ||
        !pe_directory_get(image, IMAGE_DIRECTORY_ENTRY_EXCEPTION, &dir))
        return 0;
    /* A table is never larger than the bytes that hold it, whatever its size says. */
    uint64_t size = dir.size < image->bytes.size ? dir.size : image->bytes.size;
    return (uint32_t)(size / ENTRY_SIZE);
}

bool pe_runtime_function_at(const struct pe_image *image, uint32_t i,
                            struct pe_runtime_function *out)
{
    uint8_t buffer[ENTRY_SIZE];
    struct pe_span entry = {buffer, sizeof(buffer)};
    struct pe_runtime_function f;
    if (i >= pe_runtime_function_count(image) ||
        !pe_rva_copy(image,
                     image->h.directory[IMAGE_DIRECTORY_ENTRY_EXCEPTION].rva + i * ENTRY_SIZE,
                     buffer, sizeof(buffer)))
        return false;
    bool ok =
        pe_u32(entry, 0, &f.begin) && pe_u32(entry, 4, &f.end) && pe_u32(entry, 8, &f.unwind_info);
    *out = f;
    return ok;
}
