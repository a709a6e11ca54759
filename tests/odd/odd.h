/*
 * Odd images: what Windows does with images that no linker makes.
 *
 * One row per image, in odd_<area>.c beside the functions that build it. The test program of an
 * area (test_odd.c) builds each row in its own word size and checks three things for each Windows
 * version: the verdict of peldr_verify(), that the loader gives the same one (`peldr run`, `peldr
 * map`), and, where the version accepts the image, what is mapped and what the program prints.
 *
 *     static void raw_rounded_down(struct odd *odd)
 *     {
 *         odd_program(odd, PEBUILD_EXE);
 *         odd_print(odd, "raw pointer rounded down");
 *         odd_exit(odd, 0);
 *         odd_text(odd);                               // .text is complete
 *         odd->b->sections[1].pointer_to_raw_data += 0x1ff;
 *     }
 *     const struct odd_row odd_rows[] = {
 *         {.name = "raw-rounded-down", .shows = "sections-01", .build = raw_rounded_down,
 *          .formats = ODD_BOTH, .map = "0 1000 R; 1000 1000 WC; 2000 1000 ER",
 *          .bytes = "2000 55", .output = "raw pointer rounded down"},
 *         {0},
 *     };
 */
#ifndef TESTS_ODD_H
#define TESTS_ODD_H

#include "pe/rules.h"
#include "tests/pebuild.h"

enum { ODD_32 = 1, ODD_64 = 2, ODD_BOTH = 3 };

/* Machine code under construction: position-independent, in either word size. */
struct odd_code {
    bool wide;    /* x86-64, else i386 */
    uint32_t rva; /* of data[0] */
    uint8_t *data;
    uint32_t size, capacity;
    uint32_t printf_iat, exit_iat; /* RVAs of the IAT slots of printf and ExitProcess */
};

struct odd {
    struct pebuild *b;    /* the image; odd_finish() makes it NULL */
    struct odd_code code; /* what odd_text() makes a PE section of */
    uint8_t *bytes;       /* after odd_finish() or odd_bytes(): the file, to be spoiled at will */
    uint64_t size;
    const char *dir; /* where it will lie; odd_dll() puts DLLs there */
};

struct odd_row {
    const char *name;  /* unique; also the file's name: NAME.exe, or NAME.dll with `dll` */
    const char *shows; /* ids of behaviours.tsv, separated by blanks; "" = none (a rule's image) */
    unsigned formats;  /* ODD_32, ODD_64 */
    void (*build)(struct odd *odd);
    bool dll;           /* judged and mapped as a DLL; not run */
    uint64_t file_size; /* the file ends there, with a hole behind the bytes; 0 = as they are */
    /*
     * The rule by which XP, 7 and 10 refuse it: its id; NULL = accepted. With `alone`, no other
     * rule of that version is broken.
     */
    const char *refused[3];
    bool alone;
    uint8_t alone_on; /* ... by these versions (set); 0 = all that refuse it */
    /* What is mapped where it is accepted; NULL = not looked at. "RVA SIZE PROTECTION; ..." in hex,
     * ascending, neighbours of equal protection as one; free space is left out. PROTECTION: NA R RW
     * WC E ER ERW EWC. "base 10000" in front: where it must lie. */
    const char *map;
    /* Content there, "RVA BYTE BYTE ...; RVA ...", in hex; "RVA x COUNT BYTE" repeats. */
    const char *bytes;
    const char *bytes_xp; /* ... on XP, where that differs */
    /*
     * What running it prints, without the line end, and its exit code; NULL = it is not run, and
     * `why_not` says why. `run_on` = the versions (set) to run it on, 0 = all that accept it.
     */
    const char *output;
    int exit_code; /* low 8 bits */
    uint8_t run_on;
    /* Instead of output: it is refused when run, for a reason that is no rule; a part of the error.
     */
    const char *error;
    const char *why_not;
    const char *arguments; /* of `peldr run`, separated by blanks */
};

/* Of each area; the last row has no name. */
extern const struct odd_row odd_rows[];
extern const char odd_area[]; /* "sections" */

/*
 * Starts a program (or DLL: PEBUILD_DLL; the word size is the test's own): ".idata" with msvcrt's
 * printf and kernel32's ExitProcess, then code at RVA 0x2000. The entry point is where the code
 * begins. A DLL's code should end with odd_return(odd, 1). The preferred base is 0x400000, a DLL's
 * 0x10000000, in both word sizes.
 */
void odd_program(struct odd *odd, unsigned flags);
/* The same with more imports: `imports[0]` must be msvcrt.dll and begin with "printf", `imports[1]`
 * kernel32.dll with "ExitProcess". */
void odd_program_with(struct odd *odd, unsigned flags, struct pebuild_import *imports,
                      uint32_t count);
/* The empty builder alone, to change what decides where PE sections go (alignments, SizeOfHeaders,
 * e_lfanew) before odd_program(), which then goes on with it. */
void odd_begin(struct odd *odd, unsigned flags);
/* Code that was written so far becomes ".text" (execute, read). Returns the section's index. */
uint32_t odd_text(struct odd *odd);
/* b becomes bytes (odd_text() first, when code is left). Done for rows that do not. */
void odd_finish(struct odd *odd);
/* A file made by hand: `size` zero bytes in odd->bytes. */
void odd_bytes(struct odd *odd, uint64_t size);
/* Grows the finished file with zeroes, or cuts it. */
void odd_resize(struct odd *odd, uint64_t size);
/* Where things lie in odd->bytes. */
uint64_t odd_nt(const struct odd *odd);       /* the PE signature */
uint64_t odd_optional(const struct odd *odd); /* the optional header */
uint64_t odd_directory(const struct odd *odd, enum pe_directory_index index);
uint64_t odd_section_header(const struct odd *odd, uint32_t i);
/*
 * A further file beside the image. `build` is called with an odd of its own (odd_program() with
 * PEBUILD_DLL, say).
 */
void odd_dll(struct odd *odd, const char *name, void (*build)(struct odd *odd));

/* Code, appended to odd->code. Texts get a line end of their own. */
void odd_print(struct odd *odd, const char *text); /* printf("%s\n", text) in effect */
void odd_exit(struct odd *odd, uint8_t code);      /* ExitProcess(code) */
void odd_return(struct odd *odd, uint32_t value);  /* returns from the entry point or DllMain */
/* Arguments (up to 12) are constants, the convention is any; the result is in eax/rax. */
void odd_call_import(struct odd *odd, uint32_t iat_rva, uint32_t argument_count,
                     const uint32_t *arguments);
/* The address of `rva` goes to eax/rax; a value is stored at `rva`; ... */
void odd_address(struct odd *odd, uint32_t rva);
void odd_store32(struct odd *odd, uint32_t rva, uint32_t value);
/* Prints `yes` when the 32 bits at `rva` are `value`, otherwise `no`. */
void odd_print_if32(struct odd *odd, uint32_t rva, uint32_t value, const char *yes, const char *no);
void odd_emit(struct odd *odd, const void *bytes, uint32_t size); /* any instructions */
uint32_t odd_here(const struct odd *odd);                         /* RVA of the next one */

/* The same for code that is in no odd (a TLS callback in a DLL made by hand, a flat file). */
void odd_code_begin(struct odd_code *code, uint32_t rva, uint32_t printf_iat, uint32_t exit_iat);
void odd_code_print(struct odd_code *code, const char *text);
void odd_code_exit(struct odd_code *code, uint8_t exit_code);
/* On i386 `popped` bytes of arguments leave the stack: 12 for a TLS callback or DllMain. */
void odd_code_return(struct odd_code *code, uint32_t value, uint16_t popped);
void odd_code_call(struct odd_code *code, uint32_t iat_rva, uint32_t argument_count,
                   const uint32_t *constants);
void odd_code_address(struct odd_code *code, uint32_t rva);
void odd_code_store32(struct odd_code *code, uint32_t rva, uint32_t value);
void odd_code_print_if32(struct odd_code *code, uint32_t rva, uint32_t value, const char *yes,
                         const char *no);
void odd_code_emit(struct odd_code *code, const void *bytes, uint32_t size);
void odd_code_free(struct odd_code *code);

/* ---- for the runner -------------------------------------------------------------------------- */

/* Builds into odd->bytes, which the caller frees. */
void odd_build(struct odd *odd, void (*build)(struct odd *odd));
bool odd_write(const struct odd *odd, const char *path);

#endif
