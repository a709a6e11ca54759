/*
 * The rules as tables (section_rules.h).
 */
#include "loader/ob/section_rules.h"

#define COUNT(table) (sizeof(table) / sizeof(*(table)))

enum { READS = 1, WRITES = 2, EXECUTES = 4 };

/* One row a protection: what a section made with it needs of its file (0 = there is no such
 * section), what a view with it needs of its handle. */
static const struct {
    uint32_t protect, file, rights;
} protections[] = {
    {PAGE_NOACCESS, 0, SECTION_MAP_READ},
    {PAGE_READONLY, READS, SECTION_MAP_READ},
    {PAGE_READWRITE, READS | WRITES, SECTION_MAP_WRITE},
    {PAGE_WRITECOPY, READS, SECTION_MAP_READ},
    {PAGE_EXECUTE, 0, SECTION_MAP_EXECUTE},
    {PAGE_EXECUTE_READ, READS | EXECUTES, SECTION_MAP_EXECUTE | SECTION_MAP_READ},
    {PAGE_EXECUTE_READWRITE, READS | WRITES | EXECUTES, SECTION_MAP_EXECUTE | SECTION_MAP_WRITE},
    {PAGE_EXECUTE_WRITECOPY, READS | EXECUTES, SECTION_MAP_EXECUTE | SECTION_MAP_READ},
};

static uint32_t file_needs(uint32_t protect)
{
    for (size_t i = 0; i < COUNT(protections); i++) {
        if (protections[i].protect == protect)
            return protections[i].file;
    }
    return 0;
}

nt_status ob_section_check_protect(uint32_t protect, struct pe_error *err)
{
    if (file_needs(protect))
        return STATUS_SUCCESS;
    return pe_fail(err, STATUS_INVALID_PAGE_PROTECTION, "no section has the protection 0x%x",
                   protect);
}

bool ob_section_writes(uint32_t protect)
{
    return file_needs(protect) & WRITES;
}

bool ob_section_file_suffices(const struct ob_section_create *how)
{
    uint32_t has = (how->file_read ? READS : 0u) | (how->file_write ? WRITES : 0u) |
                   (how->file_execute ? EXECUTES : 0u);
    return !(file_needs(how->protect) & ~has);
}

uint32_t ob_section_rights(uint32_t view_protect)
{
    for (size_t i = 0; i < COUNT(protections); i++) {
        if (protections[i].protect == view_protect)
            return protections[i].rights;
    }
    return 0;
}

uint32_t ob_section_access(uint32_t access)
{
    static const struct {
        uint32_t asked, means;
    } table[] = {
        {0x80000000u, SECTION_QUERY | SECTION_MAP_READ}, /* GENERIC_READ */
        {0x40000000u, SECTION_MAP_WRITE},
        {0x20000000u, SECTION_MAP_EXECUTE},
        {0x10000000u, SECTION_ALL_ACCESS},
        {0x02000000u, SECTION_ALL_ACCESS}, /* MAXIMUM_ALLOWED */
        {SECTION_MAP_EXECUTE_EXPLICIT, SECTION_MAP_EXECUTE},
    };
    for (size_t i = 0; i < COUNT(table); i++) {
        if (access & table[i].asked)
            access |= table[i].means;
    }
    return access;
}

/* What may stand beside SEC_COMMIT, SEC_RESERVE and SEC_IMAGE, one of which there must be.
 * SEC_IMAGE with SEC_NOCACHE is SEC_IMAGE_NO_EXECUTE. */
static const struct {
    uint32_t kind, beside;
} combinations[] = {
    {SEC_COMMIT, SEC_NOCACHE | SEC_WRITECOMBINE | SEC_LARGE_PAGES},
    {SEC_RESERVE, SEC_NOCACHE | SEC_WRITECOMBINE},
    {SEC_IMAGE, SEC_NOCACHE},
};

static bool combination_valid(uint32_t attributes)
{
    const uint32_t kinds = SEC_COMMIT | SEC_RESERVE | SEC_IMAGE;
    for (size_t i = 0; i < COUNT(combinations); i++) {
        if ((attributes & kinds) == combinations[i].kind)
            return !(attributes & ~(combinations[i].kind | combinations[i].beside));
    }
    return false;
}

nt_status ob_section_check_attributes(uint32_t attributes, bool has_file, struct pe_error *err)
{
    if (!combination_valid(attributes))
        return pe_fail(err, STATUS_INVALID_PARAMETER_6,
                       "the section attributes 0x%x do not go together", attributes);
    if ((attributes & SEC_IMAGE) && !has_file)
        return pe_fail(err, STATUS_INVALID_FILE_FOR_SECTION, "an image section needs a file");
    if ((attributes & SEC_LARGE_PAGES) && has_file)
        return pe_fail(err, STATUS_INVALID_PARAMETER_6, "large pages cannot be a file's");
    if (attributes & SEC_LARGE_PAGES)
        return pe_fail(err, STATUS_PRIVILEGE_NOT_HELD,
                       "large pages need SeLockMemoryPrivilege, which no program has here");
    return STATUS_SUCCESS;
}
