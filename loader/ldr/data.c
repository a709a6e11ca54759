/*
 * Modules loaded as data: flat bytes, of which only the two signatures must be right (behaviours,
 * DLL loading: 61 bytes will do, and nearly all header fields are ignored).
 */
#include <stdlib.h>
#include <string.h>

#include "loader/ldr/builtin_image.h"
#include "loader/ldr/map.h"
#include "loader/ob/fileshare.h"

static nt_status copy_bytes(struct ldr_module *module, const struct ldr_source *source,
                            struct pe_span *out, struct pe_error *err)
{
    uint64_t base = 0, size = source->size;
    nt_status status = size == 0
                           ? pe_fail(err, STATUS_FILE_INVALID, "%s is empty", source->name)
                           : mm_alloc(&base, &size, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE, err);
    if (nt_ok(status)) {
        module->data_address = base;
        memcpy((void *)(uintptr_t)base, source->bytes, source->size);
        *out = (struct pe_span){(const uint8_t *)(uintptr_t)base, source->size};
    }
    return status;
}

/* The last page of a view goes on with zeroes: a file may end inside a number. */
static uint32_t read_padded(struct pe_span bytes, uint64_t offset)
{
    uint8_t buffer[4] = {0};
    uint32_t value = 0;
    pe_copy_some(bytes, offset, buffer, sizeof buffer);
    pe_u32((struct pe_span){buffer, sizeof buffer}, 0, &value);
    return value;
}

static nt_status check_signatures(struct pe_span bytes, const char *name, struct pe_error *err)
{
    if ((read_padded(bytes, 0) & 0xffff) != 0x5a4d) {
        return pe_fail(err, STATUS_INVALID_IMAGE_NOT_MZ, "%s does not begin with MZ", name);
    }
    if (read_padded(bytes, read_padded(bytes, 0x3c)) != 0x4550) {
        return pe_fail(err, STATUS_INVALID_IMAGE_FORMAT, "%s has no PE signature", name);
    }
    return STATUS_SUCCESS;
}

/* ---- resources in them ---- */

static bool is_file_offset(const struct pe_section *s)
{
    return s->virtual_address == s->pointer_to_raw_data;
}

/*
 * Whoever looks for resources in flat bytes goes through the section table and SizeOfHeaders alone:
 * SectionAlignment and SizeOfImage may say anything. Where they are wrong they are made to cover
 * what the table says, so that the rest of the reader takes the bytes for an image's file.
 */
static void disregard_layout(struct pe_image *image)
{
    struct pe_section s;
    bool flat = pe_is_flat(image);
    for (uint32_t i = 0; flat && pe_section_at(image, i, &s); i++) {
        flat = is_file_offset(&s);
    }
    if (!flat && pe_is_flat(image)) {
        image->h.section_alignment = PE_PAGE_SIZE;
    }
    uint64_t end = image->h.size_of_headers;
    for (uint32_t i = 0; pe_section_at(image, i, &s); i++) {
        uint64_t section_end = (uint64_t)s.virtual_address + s.mapped_size;
        end = section_end > end ? section_end : end;
    }
    const uint64_t most = UINT32_MAX & ~(PE_PAGE_SIZE - 1);
    uint32_t size = (uint32_t)(end < most ? end : most);
    if (pe_mapped_size(image) < size) {
        image->h.size_of_image = size;
    }
}

/* Without headers that can be read there are no resources, which is no reason to refuse. */
static void open_image(struct ldr_module *module, struct pe_span bytes)
{
    struct pe_image image;
    if (nt_ok(pe_open(bytes, PE_LAYOUT_FILE, &image, NULL)) &&
        (module->data_image = malloc(sizeof image))) {
        disregard_layout(&image);
        *module->data_image = image;
    }
}

/* ---- loading ---- */

/* Puts the flat bytes into the record. */
static nt_status take_bytes(struct ldr_module *module, const struct ldr_source *source,
                            struct pe_span *out, struct pe_error *err)
{
    struct ldr_source written = *source;
    uint8_t *image = NULL;
    nt_status status = STATUS_SUCCESS;
    if (source->builtin) {
        status = ldr_builtin_image(source->builtin, &image, &written.size, err);
        written.bytes = image;
    }
    if (nt_ok(status) && written.bytes) {
        status = copy_bytes(module, &written, out, err);
    } else if (nt_ok(status)) {
        status = mm_file_map(source->fd, source->name, &module->data_file, err);
        *out = module->data_file;
        module->data_address = (uint64_t)(uintptr_t)out->data;
    }
    free(image);
    return status;
}

/* The record keeps the file, which others see as mapped; LOAD_LIBRARY_AS_DATAFILE_EXCLUSIVE. */
static nt_status keep_file(struct ldr_module *module, struct ldr_source *source, bool exclusive,
                           struct pe_error *err)
{
    uint32_t share = OB_SHARE_READ | OB_SHARE_DELETE;
    if (source->builtin || source->bytes) {
        return STATUS_SUCCESS;
    }
    nt_status status =
        exclusive ? ob_fileshare_claim(source->fd, OB_SHARE_READ, share) : STATUS_SUCCESS;
    if (!nt_ok(status)) {
        return pe_fail(err, status, "%s is open for writing", source->name);
    }
    ob_fileshare_use(source->fd, OB_FILE_MAPPED);
    module->file_fd = source->fd;
    source->fd = -1;
    return STATUS_SUCCESS;
}

nt_status ldr_map_data(struct ldr_source *source, bool exclusive, struct ldr_module **out,
                       struct pe_error *err)
{
    struct ldr_module *module = NULL;
    struct pe_span bytes = {0};
    bool builtin = source->builtin != NULL;
    nt_status status =
        ldr_module_create(LDR_KIND_DATA, source->name, source->path, builtin, &module, err);
    if (nt_ok(status)) {
        status = take_bytes(module, source, &bytes, err);
    }
    if (nt_ok(status)) {
        status = check_signatures(bytes, source->name, err);
    }
    if (nt_ok(status)) {
        open_image(module, bytes);
        status = keep_file(module, source, exclusive, err);
    }
    if (!nt_ok(status)) {
        ldr_module_destroy(module);
        return status;
    }
    *out = module;
    return STATUS_SUCCESS;
}
