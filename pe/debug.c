/*
 * The debug directory (PE specification, .debug): what a debugger may find about the image, and the
 * path of its PDB file from a CodeView record (RSDS: PDB 7.0, NB10: PDB 2.0).
 */
#include "pe/dirs.h"
#include "pe/internal.h"

#define ENTRY_SIZE    28u
#define TYPE_CODEVIEW 2u

static const char *const type_names[] = {
    [0] = "unknown",       [1] = "coff",
    [2] = "codeview",      [3] = "fpo",
    [4] = "misc",          [5] = "exception",
    [6] = "fixup",         [7] = "omap_to_src",
    [8] = "omap_from_src", [9] = "borland",
    [10] = "reserved",     [11] = "clsid",
    [12] = "vc_feature",   [13] = "pogo",
    [14] = "iltcg",        [15] = "mpx",
    [16] = "repro",        [17] = "embedded_pdb",
    [19] = "pdb_checksum", [20] = "ex_dllcharacteristics",
};

static const struct {
    uint32_t signature, path_offset;
} codeview_forms[] = {
    {0x53445352, 24}, /* "RSDS": GUID, age, path */
    {0x3031424e, 16}, /* "NB10": offset, time stamp, age, path */
};

const char *pe_debug_type_name(uint32_t type)
{
    if (type >= PE_ARRAY_SIZE(type_names) || !type_names[type])
        return "unknown";
    return type_names[type];
}

uint32_t pe_debug_count(const struct pe_image *image)
{
    struct pe_directory dir;
    if (!pe_directory_get(image, IMAGE_DIRECTORY_ENTRY_DEBUG, &dir))
        return 0;
    /* No more than the file has room for: entries in zero fill are none. */
    uint64_t most = image->file_size ? image->file_size : image->bytes.size;
    return (uint32_t)((dir.size < most ? dir.size : most) / ENTRY_SIZE);
}

/* The entry's data: by RVA, or by file offset where it is not mapped. */
static bool data_of(const struct pe_image *image, const struct pe_debug_entry *e,
                    struct pe_span *out)
{
    if (e->address_of_raw_data)
        return pe_rva_span(image, e->address_of_raw_data, e->size_of_data, out);
    return image->layout == PE_LAYOUT_FILE &&
           pe_sub(image->bytes, e->pointer_to_raw_data, e->size_of_data, out);
}

static void find_pdb_path(const struct pe_image *image, struct pe_debug_entry *e)
{
    struct pe_span data;
    uint32_t signature;
    if (e->type != TYPE_CODEVIEW || !data_of(image, e, &data) || !pe_u32(data, 0, &signature))
        return;
    for (size_t i = 0; i < PE_ARRAY_SIZE(codeview_forms); i++)
        if (codeview_forms[i].signature == signature)
            pe_cstr(data, codeview_forms[i].path_offset, PE_MAX_NAME, &e->pdb_path);
}

bool pe_debug_at(const struct pe_image *image, uint32_t i, struct pe_debug_entry *out)
{
    uint8_t buffer[ENTRY_SIZE];
    struct pe_span s = {buffer, sizeof(buffer)};
    struct pe_debug_entry e = {.pdb_path = {"", 0}};
    if (i >= pe_debug_count(image) ||
        !pe_rva_copy(image, image->h.directory[IMAGE_DIRECTORY_ENTRY_DEBUG].rva + i * ENTRY_SIZE,
                     buffer, sizeof(buffer)))
        return false;
    pe_u32(s, 4, &e.time_date_stamp);
    pe_u32(s, 12, &e.type);
    pe_u32(s, 16, &e.size_of_data);
    pe_u32(s, 20, &e.address_of_raw_data);
    pe_u32(s, 24, &e.pointer_to_raw_data);
    find_pdb_path(image, &e);
    *out = e;
    return true;
}
