/*
 * Section objects through the system services (ntifs.h's documentation of ZwCreateSection,
 * ZwMapViewOfSection and their relatives; facts 4).
 */
#include "loader/win32/section.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "loader/ldr/ldr.h"
#include "loader/win32/errors.h"
#include "loader/win32/ntdll/families.h"
#include "loader/win32/objattr.h"
#include "loader/win32/process.h"

/* ---- creation -----------------------------------------------------------------------------------
 */

static nt_status WINAPI_DEF nt_NtCreateSection(HANDLE *out, ULONG access,
                                               const OBJECT_ATTRIBUTES *attributes,
                                               const int64_t *size, ULONG protect,
                                               ULONG section_attributes, HANDLE file)
{
    struct win32_section_create how = {.file = file,
                                       .size = size ? (uint64_t)*size : 0,
                                       .protect = protect,
                                       .attributes = section_attributes,
                                       .access = access,
                                       .flags = win32_nt_flags(attributes)};
    HANDLE handle;
    if (!out)
        return STATUS_ACCESS_VIOLATION;
    nt_status status = win32_nt_name(attributes, &how.name, &how.global);
    if (nt_ok(status))
        status = win32_section_create(&how, &handle);
    if (!nt_ok(status))
        return status;
    if (status == STATUS_OBJECT_NAME_EXISTS && !(attributes->Attributes & OBJ_OPENIF)) {
        ob_handle_close(win32_ob_handle(handle));
        return STATUS_OBJECT_NAME_COLLISION;
    }
    *out = handle;
    return status;
}

static nt_status WINAPI_DEF nt_NtCreateSectionEx(HANDLE *out, ULONG access,
                                                 const OBJECT_ATTRIBUTES *attributes,
                                                 const int64_t *size, ULONG protect,
                                                 ULONG section_attributes, HANDLE file,
                                                 const void *extended, ULONG extended_count)
{
    if (extended_count)
        return STATUS_INVALID_PARAMETER;
    return nt_NtCreateSection(out, access, attributes, size, protect, section_attributes, file);
}

static nt_status WINAPI_DEF nt_NtOpenSection(HANDLE *out, ULONG access,
                                             const OBJECT_ATTRIBUTES *attributes)
{
    struct ob_name name;
    bool global;
    if (!out)
        return STATUS_ACCESS_VIOLATION;
    nt_status status = win32_nt_open_name(attributes, &name, &global);
    return nt_ok(status)
               ? win32_section_open(&name, global, access, win32_nt_flags(attributes), out)
               : status;
}

static nt_status WINAPI_DEF nt_NtExtendSection(HANDLE handle, int64_t *size)
{
    struct ob_object *section;
    nt_status status = win32_section_get(handle, SECTION_EXTEND_SIZE, &section, NULL);
    if (!nt_ok(status))
        return status;
    uint64_t bytes = (uint64_t)*size;
    status =
        *size < 0 ? (nt_status)STATUS_SECTION_TOO_BIG : ob_section_extend(section, &bytes, NULL);
    if (nt_ok(status))
        *size = (int64_t)bytes;
    ob_object_unref(section);
    return status;
}

/* ---- views --------------------------------------------------------------------------------------
 */

enum { VIEW_SHARE = 1, VIEW_UNMAP = 2 };
#define AT_ROUND_TO_PAGE 0x40000000u /* 32-bit Windows only */

/* As for NtAllocateVirtualMemory: a count of zero bits of 32-bit addresses, or a mask. */
static uint64_t limit_of(ULONG_PTR zero_bits)
{
    return zero_bits == 0   ? 0
           : zero_bits < 32 ? (uint64_t)1 << (32 - zero_bits)
                            : (uint64_t)zero_bits + 1;
}

static nt_status check_map(void *const *base, ULONG_PTR zero_bits, const SIZE_T *size,
                           ULONG inherit, ULONG type)
{
    const ULONG types = MEM_TOP_DOWN | MEM_RESERVE | (sizeof(void *) == 4 ? AT_ROUND_TO_PAGE : 0);
    if (!base || !size)
        return STATUS_ACCESS_VIOLATION;
    if (zero_bits > 21 && zero_bits < 32)
        return STATUS_INVALID_PARAMETER_4;
    if (*base && limit_of(zero_bits) && (uint64_t)(uintptr_t)*base >= limit_of(zero_bits))
        return STATUS_INVALID_PARAMETER_4;
    if (inherit != VIEW_SHARE && inherit != VIEW_UNMAP)
        return STATUS_INVALID_PARAMETER_8;
    return type & ~types ? (nt_status)STATUS_INVALID_PARAMETER_9 : STATUS_SUCCESS;
}

static nt_status WINAPI_DEF nt_NtMapViewOfSection(HANDLE section, HANDLE process, void **base,
                                                  ULONG_PTR zero_bits, SIZE_T commit,
                                                  int64_t *offset, SIZE_T *size, ULONG inherit,
                                                  ULONG type, ULONG protect)
{
    uint64_t at, mapped;
    nt_status status = check_map(base, zero_bits, size, inherit, type);
    if (!nt_ok(status))
        return status;
    struct mm_data_map how = {.base = (uint64_t)(uintptr_t)*base,
                              .limit = limit_of(zero_bits),
                              .offset = offset ? (uint64_t)*offset : 0,
                              .size = *size,
                              .protect = protect};
    status = win32_section_map(section, process, &how, &at, &mapped);
    if (nt_ok(status)) {
        *base = (void *)(uintptr_t)at;
        *size = (SIZE_T)mapped;
    }
    return status;
}

static nt_status WINAPI_DEF nt_NtMapViewOfSectionEx(HANDLE section, HANDLE process, void **base,
                                                    int64_t *offset, SIZE_T *size, ULONG type,
                                                    ULONG protect, const void *extended,
                                                    ULONG extended_count)
{
    if (extended_count)
        return STATUS_INVALID_PARAMETER;
    return nt_NtMapViewOfSection(section, process, base, 0, 0, offset, size, VIEW_UNMAP, type,
                                 protect);
}

static nt_status WINAPI_DEF nt_NtUnmapViewOfSection(HANDLE process, void *address)
{
    return win32_section_unmap(process, address);
}

static nt_status WINAPI_DEF nt_NtUnmapViewOfSectionEx(HANDLE process, void *address, ULONG flags)
{
    return flags > 1 ? (nt_status)STATUS_INVALID_PARAMETER : win32_section_unmap(process, address);
}

/* Views are written before it returns, so there is never an error left to tell. */
static nt_status WINAPI_DEF nt_NtFlushVirtualMemory(HANDLE process, void **address, SIZE_T *size,
                                                    IO_STATUS_BLOCK *io)
{
    if (!win32_is_this_process(process))
        return STATUS_INVALID_HANDLE;
    if (!address || !size || !io)
        return STATUS_ACCESS_VIOLATION;
    uint64_t at = (uint64_t)(uintptr_t)*address, bytes = *size;
    nt_status status = mm_flush_view(&at, &bytes, NULL);
    if (nt_ok(status)) {
        *address = (void *)(uintptr_t)at;
        *size = (SIZE_T)bytes;
        io->Information = 0;
        io->u.Status = STATUS_SUCCESS;
    }
    return status;
}

/* ---- questions ----------------------------------------------------------------------------------
 */

struct section_basic_information {
    void *BaseAddress;
    ULONG Attributes;
    int64_t Size __attribute__((aligned(8)));
};
_Static_assert(sizeof(struct section_basic_information) == (sizeof(void *) == 8 ? 24 : 16),
               "SECTION_BASIC_INFORMATION");

struct section_image_information {
    void *TransferAddress;
    ULONG ZeroBits;
    SIZE_T MaximumStackSize, CommittedStackSize;
    ULONG SubSystemType;
    USHORT SubSystemMinorVersion, SubSystemMajorVersion;
    USHORT MajorOperatingSystemVersion, MinorOperatingSystemVersion;
    USHORT ImageCharacteristics, DllCharacteristics, Machine;
    BOOLEAN ImageContainsCode;
    BYTE ImageFlags;
    ULONG LoaderFlags, ImageFileSize, CheckSum;
};
_Static_assert(sizeof(struct section_image_information) == (sizeof(void *) == 8 ? 64 : 48),
               "SECTION_IMAGE_INFORMATION");

enum { IMAGE_DYNAMICALLY_RELOCATED = 0x4, IMAGE_MAPPED_FLAT = 0x8, IMAGE_BASE_BELOW_4GB = 0x10 };

static nt_status query_basic(const struct ob_section_info *info, void *out)
{
    struct section_basic_information answer = {.Attributes = info->attributes,
                                               .Size = (int64_t)info->size};
    memcpy(out, &answer, sizeof answer);
    return STATUS_SUCCESS;
}

static BYTE image_flags(const struct pe_headers *h)
{
    bool flat = h->section_alignment < PE_PAGE_SIZE;
    bool moves = (h->dll_characteristics & IMAGE_DLLCHARACTERISTICS_DYNAMIC_BASE) &&
                 !(h->characteristics & IMAGE_FILE_RELOCS_STRIPPED);
    return (BYTE)((moves && !flat ? IMAGE_DYNAMICALLY_RELOCATED : 0) |
                  (flat ? IMAGE_MAPPED_FLAT : 0));
}

static nt_status query_image(const struct ob_section_info *info, void *out)
{
    if (!info->image)
        return STATUS_SECTION_NOT_IMAGE;
    const struct pe_headers *h = mm_section_headers(info->image);
    struct mm_file_id id = {0};
    mm_section_file_id(info->image, &id);
    struct section_image_information answer = {
        .TransferAddress = (void *)(uintptr_t)(h->image_base + h->address_of_entry_point),
        .MaximumStackSize = (SIZE_T)h->size_of_stack_reserve,
        .CommittedStackSize = (SIZE_T)h->size_of_stack_commit,
        .SubSystemType = h->subsystem,
        .SubSystemMinorVersion = h->minor_subsystem_version,
        .SubSystemMajorVersion = h->major_subsystem_version,
        .MajorOperatingSystemVersion = h->major_os_version,
        .MinorOperatingSystemVersion = h->minor_os_version,
        .ImageCharacteristics = h->characteristics,
        .DllCharacteristics = h->dll_characteristics,
        .Machine = h->machine,
        .ImageContainsCode = h->size_of_code != 0 || h->address_of_entry_point != 0,
        .ImageFlags = image_flags(h),
        .LoaderFlags = h->loader_flags,
        .ImageFileSize = (ULONG)id.size,
        .CheckSum = h->checksum,
    };
    memcpy(out, &answer, sizeof answer);
    return STATUS_SUCCESS;
}

static const struct {
    SIZE_T size;
    nt_status (*query)(const struct ob_section_info *info, void *out);
} queries[] = {
    {sizeof(struct section_basic_information), query_basic},
    {sizeof(struct section_image_information), query_image},
};

static nt_status WINAPI_DEF nt_NtQuerySection(HANDLE handle, ULONG info_class, void *out,
                                              SIZE_T size, SIZE_T *returned)
{
    struct ob_object *section;
    struct ob_section_info info;
    if (info_class >= sizeof(queries) / sizeof(*queries))
        return STATUS_INVALID_INFO_CLASS;
    if (size < queries[info_class].size)
        return STATUS_INFO_LENGTH_MISMATCH;
    if (!out)
        return STATUS_ACCESS_VIOLATION;
    nt_status status = win32_section_get(handle, SECTION_QUERY, &section, NULL);
    if (!nt_ok(status))
        return status;
    ob_section_query(section, &info);
    status = queries[info_class].query(&info, out);
    if (nt_ok(status) && returned)
        *returned = queries[info_class].size;
    ob_object_unref(section);
    return status;
}

/* Facts of the documentation: two views of images, of one file. */
static nt_status WINAPI_DEF nt_NtAreMappedFilesTheSame(const void *first, const void *second)
{
    const void *addresses[] = {first, second};
    struct stat st[2];
    for (int i = 0; i < 2; i++) {
        char name[4096];
        struct mm_region region;
        uint64_t at = (uint64_t)(uintptr_t)addresses[i];
        if (!nt_ok(mm_query(at, &region)) || region.state == MEM_FREE)
            return STATUS_INVALID_ADDRESS;
        if (region.type != MEM_IMAGE)
            return STATUS_CONFLICTING_ADDRESSES;
        if (!mm_region_name(at, name, sizeof name) || stat(name, &st[i]) != 0)
            return STATUS_NOT_SAME_DEVICE;
    }
    bool same = st[0].st_dev == st[1].st_dev && st[0].st_ino == st[1].st_ino;
    return same ? STATUS_SUCCESS : (nt_status)STATUS_NOT_SAME_DEVICE;
}

const struct ldr_builtin_export ntdll_section_exports[] = {
    NT_ZW(CreateSection),      NT_ZW(CreateSectionEx),      NT_ZW(OpenSection),
    NT_ZW(ExtendSection),      NT_ZW(MapViewOfSection),     NT_ZW(MapViewOfSectionEx),
    NT_ZW(UnmapViewOfSection), NT_ZW(UnmapViewOfSectionEx), NT_ZW(FlushVirtualMemory),
    NT_ZW(QuerySection),       NT_ZW(AreMappedFilesTheSame)};
const size_t ntdll_section_count = sizeof(ntdll_section_exports) / sizeof(*ntdll_section_exports);
