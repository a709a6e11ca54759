/*
 * Odd images: what stands in header fields (behaviours, Headers). Where headers lie:
 * odd_places.c; images without pages: odd_flat.c.
 */
#include <string.h>

#include "tests/odd/odd_piece.h"

const char odd_area[] = "headers";

static const bool wide = sizeof(void *) == 8;

/* A program that says `text`, finished. */
static void finish_saying(struct odd *odd, const char *text)
{
    odd_print(odd, text);
    odd_exit(odd, 0);
    odd_finish(odd);
}

static void say(struct odd *odd, const char *text)
{
    odd_program(odd, PEBUILD_EXE);
    finish_saying(odd, text);
}

/* ---- little, and too much -------------------------------------------------------------------- */

static void mostly_zero(struct odd *odd)
{
    say(odd, "hardly any header");
    uint8_t *nt = odd->bytes + odd_nt(odd), *optional = nt + 24;
    pebuild_put16(nt, 22, IMAGE_FILE_EXECUTABLE_IMAGE);
    memset(optional + 40, 0, 8); /* versions of the system and of the image */
    pebuild_put16(optional, 48, 4);
    memset(optional + 72, 0, wide ? 32 : 16); /* stack and heap */
    for (uint32_t i = 0; i < 2; i++)
        memset(odd->bytes + odd_section_header(odd, i), 0, 8);
}

static void as_linked(struct odd *odd)
{
    static const uint8_t stub[] = {0x0e, 0x1f, 0xba, 0x0e, 0x00, 0xb4, 0x09, 0xcd,
                                   0x21, 0xb8, 0x01, 0x4c, 0xcd, 0x21, 'N',  'o',
                                   ' ',  'D',  'O',  'S',  '.',  '\r', '\n', '$'};
    static const uint32_t rich[] = {
        0x536e6144 ^ 0x12345678, 0x12345678,     0x12345678, 0x12345678,
        0x00937809 ^ 0x12345678, 1 ^ 0x12345678, 0x68636952, 0x12345678};
    odd_begin(odd, PEBUILD_EXE);
    odd->b->h.e_lfanew = 0x100;
    odd->b->h.characteristics |= 0x0004 | 0x0008 | 0x0200; /* lines, local symbols, debug */
    odd->b->h.time_date_stamp = 0x4f000000;
    odd->b->h.major_linker_version = 10;
    odd->b->h.size_of_code = odd->b->h.size_of_initialized_data = 0x200;
    odd->b->h.base_of_code = 0x2000;
    odd->b->h.dll_characteristics = 0x8000; /* TERMINAL_SERVER_AWARE */
    odd->b->h.checksum = 0x12345;
    say(odd, "a stub and a Rich block");
    memcpy(odd->bytes + 0x40, stub, sizeof(stub));
    for (uint32_t i = 0; i < sizeof(rich) / sizeof(rich[0]); i++)
        pebuild_put32(odd->bytes, 0x80 + i * 4, rich[i]);
}

static void all_ones(struct odd *odd)
{
    say(odd, "ones wherever nobody looks");
    uint8_t *nt = odd->bytes + odd_nt(odd), *optional = nt + 24;
    memset(odd->bytes + 2, 0xff, 0x3a);
    memset(odd->bytes + 0x40, 0xff, 0x40);
    memset(nt + 8, 0xff, 12);       /* time stamp, symbols */
    memset(optional + 2, 0xff, 14); /* linker version, sizes of code and data */
    memset(optional + 20, 0xff, wide ? 4 : 8);
    memset(optional + 40, 0xff, 8); /* versions of the system and of the image */
    memset(optional + 52, 0xff, 4);
    memset(optional + 64, 0xff, 4);                /* CheckSum */
    memset(optional + (wide ? 104 : 88), 0xff, 8); /* LoaderFlags, NumberOfRvaAndSizes */
    for (uint32_t i = 0; i < PE_DIRECTORY_COUNT; i++)
        pebuild_put32(odd->bytes, odd_directory(odd, i) + 4, UINT32_MAX);
    for (uint32_t i = 0; i < 2; i++) {
        memset(odd->bytes + odd_section_header(odd, i), 0xff, 8);
        memset(odd->bytes + odd_section_header(odd, i) + 24, 0xff, 12);
    }
}

static void text_before_nt(struct odd *odd)
{
    odd_begin(odd, PEBUILD_EXE);
    odd->b->h.e_lfanew = 0x200;
    say(odd, "a letter in front");
    memset(odd->bytes + 2, '\n', 0x3a);
    memset(odd->bytes + 0x40, '#', 0x1c0);
    memcpy(odd->bytes + 2, "\r\nDear loader,", 14);
    memcpy(odd->bytes + 0x40, "\r\nI hope that this finds you well.\r\n", 36);
}

static void system_310(struct odd *odd)
{
    odd_begin(odd, PEBUILD_EXE);
    odd->b->h.major_subsystem_version = 3;
    odd->b->h.minor_subsystem_version = 10;
    say(odd, "for Windows NT 3.10");
}

static void system_309(struct odd *odd)
{
    system_310(odd);
    pebuild_put16(odd->bytes, odd_optional(odd) + 50, 9);
}

/* ---- subsystem 6.3: the security cookie -------------------------------------------------------
 */

enum { GUARD_COOKIE_UNUSED = 0x800 };

/* A program for 6.3 with a load configuration; cookie_rva 0 = no cookie. */
static void for_63(struct odd *odd, uint64_t cookie, uint32_t guard_flags, const char *text)
{
    odd_begin(odd, PEBUILD_EXE);
    odd->b->h.major_subsystem_version = 6;
    odd->b->h.minor_subsystem_version = 3;
    odd_program(odd, PEBUILD_EXE);
    odd_print(odd, text);
    odd_exit(odd, 0);
    odd_text(odd);
    struct pebuild_buffer data = pebuild_buffer(odd->b);
    uint32_t config = pebuild_zeroes(&data, 0xa0), at = pebuild_ptr(&data, cookie);
    pebuild_patch32(&data, config, 0xa0);
    if (cookie)
        pebuild_patch_ptr(&data, config + (wide ? 88 : 60), odd->b->h.image_base + at);
    pebuild_patch32(&data, config + (wide ? 144 : 88), guard_flags);
    pebuild_directory(odd->b, IMAGE_DIRECTORY_ENTRY_LOAD_CONFIG, config, 0xa0);
    pebuild_buffer_section(&data, ".data", PEBUILD_DATA);
}

static uint64_t default_cookie(void)
{
    return wide ? 0x2b992ddfa232u : 0xbb40e64eu;
}

static void cookie_default(struct odd *odd)
{
    for_63(odd, default_cookie(), 0, "a cookie for 6.3");
}

static void cookie_other(struct odd *odd)
{
    for_63(odd, default_cookie() + 1, 0, "not reached");
}

static void cookie_unused(struct odd *odd)
{
    for_63(odd, 0, GUARD_COOKIE_UNUSED, "no cookie, and it says so");
}

static void cookie_missing(struct odd *odd)
{
    for_63(odd, 0, 0, "not reached");
}

/* ---- where it goes ----------------------------------------------------------------------------
 */

/* The code has 32-bit addresses in it, which are not fixed up. */
static void low_base(struct odd *odd)
{
    static const uint8_t align[] = {0x48, 0x83, 0xec, 0x28};      /* sub rsp, 0x28 */
    uint8_t load[] = {0xb9, 0, 0, 0, 0};                          /* mov ecx, text */
    uint8_t call[] = {0xff, 0x14, 0x25, 0, 0, 0, 0};              /* call [printf] */
    static const uint8_t leave[] = {0x48, 0x83, 0xc4, 0x28, 0x31, /* add rsp, 0x28; xor eax, eax */
                                    0xc0, 0xc3};                  /* ret */
    odd_program(odd, PEBUILD_EXE);
    uint32_t base = (uint32_t)odd->b->h.image_base;
    uint32_t text = odd_here(odd) + sizeof(align) + sizeof(load) + sizeof(call) + sizeof(leave);
    pebuild_put32(load, 1, base + text);
    pebuild_put32(call, 3, base + odd->code.printf_iat);
    odd_emit(odd, align, sizeof(align));
    odd_emit(odd, load, sizeof(load));
    odd_emit(odd, call, sizeof(call));
    odd_emit(odd, leave, sizeof(leave));
    odd_emit(odd, "below 4 GB\n", 12);
    odd->b->h.characteristics |= IMAGE_FILE_RELOCS_STRIPPED;
}

/* 512 MB from PE section to PE section. It is one section: two would not fit a 32-bit process. */
static void alignment_512_mb(struct odd *odd)
{
    odd_begin(odd, PEBUILD_EXE);
    odd->b->h.section_alignment = 0x20000000;
    odd->b->h.file_alignment = 0x10000;
    odd->b->h.image_base = 0x10000;
    /* Under AddressSanitizer a 32-bit process has no such room below 2 GB: it moves then. */
    odd->b->h.characteristics |= IMAGE_FILE_LARGE_ADDRESS_AWARE;
    odd_piece(odd, 0x20000000);
    odd_print(odd, "half a gigabyte to the next one");
    odd_exit(odd, 0);
    odd_piece_section(odd, PEBUILD_TEXT | IMAGE_SCN_MEM_WRITE);
}

/* SizeOfHeaders ends between two sectors; the file goes on. */
static void beyond_headers(struct odd *odd)
{
    odd_program(odd, PEBUILD_EXE);
    odd_print_if32(odd, 0x24c, 0xcccccccc, "shown up to SizeOfHeaders", "cut too early");
    odd_print_if32(odd, 0x250, 0, "and zero behind it", "not zero behind it");
    odd_exit(odd, 0);
    odd_finish(odd);
    pebuild_put32(odd->bytes, odd_optional(odd) + 60, 0x250);
    memset(odd->bytes + 0x240, 0xcc, 0x1c0);
}

/* ---- entry points -----------------------------------------------------------------------------
 */

/* MZ is "dec ebp; pop edx"; what follows undoes it and jumps to the code. */
static void entry_zero(struct odd *odd)
{
    static const uint8_t undo[] = {0x52, 0x45, 0xe9, 0xf7, 0x1f, 0, 0}; /* push edx; inc ebp; jmp */
    odd_program(odd, PEBUILD_EXE);
    odd_print(odd, "from the image base");
    odd_exit(odd, 0);
    odd->b->h.address_of_entry_point = 0;
    odd_finish(odd);
    memcpy(odd->bytes + 2, undo, sizeof(undo)); /* the jump ends at 9, the code begins at 0x2000 */
}

/* The last byte of the header page and the first of the PE section make "add al, al". */
static void entry_in_zero_fill(struct odd *odd)
{
    static const uint8_t jump[] = {0xc0, 0xe9, 0, 0, 0, 0};
    odd_begin(odd, PEBUILD_EXE);
    pebuild_section(odd->b, ".first", PEBUILD_TEXT, jump, sizeof(jump), 0);
    odd_program(odd, PEBUILD_EXE);
    uint32_t code = odd->b->h.address_of_entry_point;
    pebuild_put32(odd->b->sections[0].data, 2, code - 0x1006);
    odd->b->h.address_of_entry_point = 0xfff;
    finish_saying(odd, "from the zeroes behind the headers");
}

/* ---- no directories ---------------------------------------------------------------------------
 */

/*
 * Machine code, where the RVA does not matter: the third module in load order is kernel32; finds
 * its WriteFile in the export directory and writes a line to the standard output that the process
 * parameters name. In 64 bits the module's handle goes through a 32-bit register.
 */
extern const uint8_t odd_walk_begin[], odd_walk_end[];
#ifdef __x86_64__
__asm__(".pushsection .rodata\n"
        ".intel_syntax noprefix\n"
        ".globl odd_walk_begin, odd_walk_end\n"
        "odd_walk_begin:\n"
        "push rbx; push rsi; push rdi\n"
        "sub rsp, 0x30\n"
        "mov r8, gs:[0x60]\n"     /* PEB */
        "mov rdi, [r8 + 0x20]\n"  /* ProcessParameters */
        "mov rax, [r8 + 0x18]\n"  /* Ldr */
        "mov rax, [rax + 0x10]\n" /* InLoadOrderModuleList: the program, ntdll, kernel32 */
        "mov rax, [rax]\n"
        "mov rax, [rax]\n"
        "movsxd rbx, dword ptr [rax + 0x30]\n" /* DllBase */
        "mov eax, [rbx + 0x3c]\n"
        "mov esi, [rbx + rax + 0x88]\n"
        "add rsi, rbx\n" /* the export directory */
        "mov ecx, [rsi + 0x18]\n"
        "mov r9d, [rsi + 0x20]\n"
        "add r9, rbx\n"
        "xor edx, edx\n"
        "movabs r11, 0x6c69466574697257\n" /* WriteFil */
        "1: mov r10d, [r9 + rdx * 4]\n"
        "add r10, rbx\n"
        "cmp [r10], r11\n"
        "jne 2f\n"
        "cmp word ptr [r10 + 8], 0x65\n" /* e, and the end */
        "je 3f\n"
        "2: inc edx\n"
        "cmp edx, ecx\n"
        "jb 1b\n"
        "mov eax, 1\n"
        "jmp 4f\n"
        "3: mov eax, [rsi + 0x24]\n"
        "add rax, rbx\n"
        "movzx edx, word ptr [rax + rdx * 2]\n"
        "mov eax, [rsi + 0x1c]\n"
        "add rax, rbx\n"
        "mov eax, [rax + rdx * 4]\n"
        "add rax, rbx\n"
        "mov rcx, [rdi + 0x28]\n" /* StandardOutput */
        "lea rdx, [rip + 5f]\n"
        "mov r8d, 16\n"
        "lea r9, [rsp + 0x28]\n"
        "mov qword ptr [rsp + 0x20], 0\n"
        "call rax\n"
        "xor eax, eax\n"
        "4: add rsp, 0x30\n"
        "pop rdi; pop rsi; pop rbx\n"
        "ret\n"
        "5: .ascii \"kernel32's here\\n\"\n"
        "odd_walk_end:\n"
        ".att_syntax prefix\n"
        ".popsection\n");
#else
__asm__(".pushsection .rodata\n"
        ".intel_syntax noprefix\n"
        ".globl odd_walk_begin, odd_walk_end\n"
        "odd_walk_begin:\n"
        "push ebp; push ebx; push esi; push edi\n"
        "mov eax, fs:[0x30]\n"    /* PEB */
        "mov edi, [eax + 0x10]\n" /* ProcessParameters */
        "mov eax, [eax + 0xc]\n"  /* Ldr */
        "mov eax, [eax + 0xc]\n"  /* InLoadOrderModuleList: the program, ntdll, kernel32 */
        "mov eax, [eax]\n"
        "mov eax, [eax]\n"
        "mov ebx, [eax + 0x18]\n" /* DllBase */
        "mov eax, [ebx + 0x3c]\n"
        "mov esi, [ebx + eax + 0x78]\n"
        "add esi, ebx\n" /* the export directory */
        "mov ebp, [esi + 0x20]\n"
        "add ebp, ebx\n"
        "xor edx, edx\n"
        "1: mov eax, [ebp + edx * 4]\n"
        "add eax, ebx\n"
        "cmp dword ptr [eax], 0x74697257\n" /* Writ */
        "jne 2f\n"
        "cmp dword ptr [eax + 4], 0x6c694665\n" /* eFil */
        "jne 2f\n"
        "cmp word ptr [eax + 8], 0x65\n" /* e, and the end */
        "je 3f\n"
        "2: inc edx\n"
        "cmp edx, [esi + 0x18]\n"
        "jb 1b\n"
        "mov eax, 1\n"
        "jmp 4f\n"
        "3: mov eax, [esi + 0x24]\n"
        "add eax, ebx\n"
        "movzx edx, word ptr [eax + edx * 2]\n"
        "mov eax, [esi + 0x1c]\n"
        "add eax, ebx\n"
        "mov eax, [eax + edx * 4]\n"
        "add eax, ebx\n"
        "call 5f\n"
        "5: pop ecx\n"
        "add ecx, 6f - 5b\n"
        "push 0\n"
        "mov edx, esp\n"
        "push 0\n"
        "push edx\n"
        "push 16\n"
        "push ecx\n"
        "push dword ptr [edi + 0x1c]\n" /* StandardOutput */
        "call eax\n"
        "pop eax\n"
        "xor eax, eax\n"
        "4: pop edi; pop esi; pop ebx; pop ebp\n"
        "ret\n"
        "6: .ascii \"kernel32's here\\n\"\n"
        "odd_walk_end:\n"
        ".att_syntax prefix\n"
        ".popsection\n");
#endif

static void no_directories(struct odd *odd)
{
    odd_begin(odd, PEBUILD_EXE);
    pebuild_section(odd->b, ".text", PEBUILD_TEXT, odd_walk_begin,
                    (uint32_t)(odd_walk_end - odd_walk_begin), 0);
    odd->b->h.address_of_entry_point = 0x1000;
    odd->b->h.number_of_rva_and_sizes = 0;
    odd->b->h.characteristics &= (uint16_t)~IMAGE_FILE_LARGE_ADDRESS_AWARE;
}

/* ---- the table --------------------------------------------------------------------------------
 */

#define REFUSED_63 "exe.subsystem_version", "exe.subsystem_version"

const struct odd_row odd_rows[] = {
    {.name = "mostly-zero",
     .shows = "headers-01",
     .formats = ODD_BOTH,
     .build = mostly_zero,
     .map = "0 1000 R; 1000 1000 WC; 2000 1000 ER",
     .output = "hardly any header"},
    {.name = "as-linked",
     .shows = "headers-02",
     .formats = ODD_BOTH,
     .build = as_linked,
     .bytes = "40 e 1f; 98 52 69 63 68",
     .output = "a stub and a Rich block"},
    {.name = "low-base",
     .shows = "headers-03",
     .formats = ODD_64,
     .build = low_base,
     .map = "base 400000; 0 1000 R; 1000 1000 WC; 2000 1000 ER",
     .output = "below 4 GB"},
    {.name = "alignment-512-mb",
     .shows = "headers-05",
     .formats = ODD_BOTH,
     .build = alignment_512_mb,
     .map = "0 1000 R; 20000000 1000 EWC",
     .output = "half a gigabyte to the next one"},
    {.name = "system-3.10",
     .shows = "headers-06",
     .formats = ODD_BOTH,
     .build = system_310,
     .output = "for Windows NT 3.10"},
    {.name = "system-3.9",
     .shows = "",
     .formats = ODD_BOTH,
     .build = system_309,
     .refused = {REFUSED_63, "exe.subsystem_version"},
     .alone = true},
    {.name = "cookie-default",
     .shows = "headers-07",
     .formats = ODD_BOTH,
     .build = cookie_default,
     .refused = {REFUSED_63, NULL},
     .output = "a cookie for 6.3"},
    {.name = "cookie-other",
     .shows = "headers-07",
     .formats = ODD_BOTH,
     .build = cookie_other,
     .refused = {REFUSED_63, "loadcfg.modern"},
     .alone = true},
    {.name = "cookie-missing",
     .shows = "headers-07",
     .formats = ODD_BOTH,
     .build = cookie_missing,
     .refused = {REFUSED_63, "loadcfg.modern"},
     .alone = true},
    {.name = "cookie-unused",
     .shows = "headers-08",
     .formats = ODD_BOTH,
     .build = cookie_unused,
     .refused = {REFUSED_63, NULL},
     .output = "no cookie, and it says so"},
    {.name = "all-ones",
     .shows = "headers-09",
     .formats = ODD_BOTH,
     .build = all_ones,
     .map = "0 1000 R; 1000 1000 WC; 2000 1000 ER",
     .output = "ones wherever nobody looks"},
    {.name = "beyond-headers",
     .shows = "headers-20",
     .formats = ODD_BOTH,
     .build = beyond_headers,
     .bytes = "240 x 10 cc; 250 x db0 0",
     .output = "shown up to SizeOfHeaders\nand zero behind it"},
    {.name = "entry-zero", /* in 64 bits only a flat image can: odd_flat.c */
     .shows = "headers-33",
     .formats = ODD_32,
     .build = entry_zero,
     .map = "0 1000 R; 1000 1000 WC; 2000 1000 ER",
     .output = "from the image base"},
    {.name = "entry-in-zero-fill",
     .shows = "headers-34",
     .formats = ODD_32,
     .build = entry_in_zero_fill,
     .bytes = "ffe 0 0 c0 e9",
     .output = "from the zeroes behind the headers"},
    {.name = "no-directories",
     .shows = "headers-35 headers-36",
     .formats = ODD_BOTH,
     .build = no_directories,
     .map = "0 1000 R; 1000 1000 ER",
     .output = "kernel32's here"},
    {.name = "text-before-nt",
     .shows = "headers-38",
     .formats = ODD_BOTH,
     .build = text_before_nt,
     .bytes = "0 4d 5a d a 44 65 61 72",
     .output = "a letter in front"},
    {0},
};
