/*
 * Which instruction holds a fixup, before and after relocation. The code is assembled by hand.
 */
#include "tests/unit/reloc_image.h"

#include "reloc/audit.h"

/* i386, preferred base 0x10000000, .text at 0x1000 */
static const uint8_t code32[] = {
    0x55,                                           /* 1000 push ebp */
    0xa1, 0x00, 0x30, 0x00, 0x10,                   /* 1001 mov eax, [10003000] */
    0x68, 0x10, 0x30, 0x00, 0x10,                   /* 1006 push 10003010 */
    0xc7, 0x05, 0x20, 0x30, 0x00, 0x10, 0x30, 0x30, /* 100b mov dword [10003020], 10003030 */
    0x00, 0x10,                                     /*      (two fixups) */
    0xc3,                                           /* 1015 ret */
    0x06, 0x10, 0x00, 0x10,                         /* 1016 a jump table: 10001006 */
    0xb8, 0x78, 0x56, 0x34, 0x12,                   /* 101a mov eax, 12345678 */
};

static struct test_image make_code32(void)
{
    struct pebuild *b = pebuild_new(PEBUILD_DLL);
    static const uint8_t data[0x100] = {0x00, 0x30, 0x00, 0x10};
    const struct pebuild_export exports[] = {{"after_table", 1, 0x101a, NULL}};
    pebuild_section(b, ".text", PEBUILD_TEXT, code32, sizeof code32, 0);
    pebuild_section(b, ".data", PEBUILD_DATA, data, sizeof data, 0);
    pebuild_exports(b, "a.dll", 1, exports, 1);
    return test_image_make(b);
}

static struct pe_fixup fixup_at(uint32_t rva, uint8_t type)
{
    return (struct pe_fixup){.rva = rva, .type = type};
}

#ifdef HAVE_ZYDIS

static void assert_found(const struct test_image *t, struct reloc_auditor *auditor, uint32_t rva,
                         uint32_t insn, uint8_t len, const char *before, const char *after)
{
    struct reloc_audit audit = {0};
    struct pe_fixup fixup = fixup_at(rva, t->file.h.pe32_plus ? 10 : 3);
    bool found = auditor ? reloc_auditor_find(auditor, &fixup, 0x00020000, &audit)
                         : reloc_audit_fixup(&t->file, &fixup, 0x00020000, &audit);
    assert_true(found);
    assert_int_equal(audit.fixup_rva, rva);
    assert_int_equal(audit.insn_rva, insn);
    assert_int_equal(audit.insn_len, len);
    assert_string_equal(audit.before, before);
    assert_string_equal(audit.after, after);
}

static void check_code32(const struct test_image *t, struct reloc_auditor *auditor)
{
    assert_found(t, auditor, 0x1002, 0x1001, 5, "mov eax, [0x10003000]", "mov eax, [0x10023000]");
    assert_found(t, auditor, 0x1007, 0x1006, 5, "push 0x10003010", "push 0x10023010");
    assert_found(t, auditor, 0x100d, 0x100b, 10, "mov dword ptr [0x10003020], 0x10003030",
                 "mov dword ptr [0x10023020], 0x10003030");
    assert_found(t, auditor, 0x1011, 0x100b, 10, "mov dword ptr [0x10003020], 0x10003030",
                 "mov dword ptr [0x10003020], 0x10023030");
}

static void test_instructions(void **state)
{
    struct test_image t = make_code32();
    struct reloc_auditor auditor;
    check_code32(&t, NULL);
    reloc_auditor_init(&auditor, &t.file);
    check_code32(&t, &auditor); /* one sweep, ascending ... */
    check_code32(&t, &auditor); /* ... and back */
    test_image_free(&t);
}

/* The export behind the jump table is a known start, so the table's bytes do not matter. */
static void test_a_known_start_resynchronises(void **state)
{
    struct test_image t = make_code32();
    assert_found(&t, NULL, 0x101b, 0x101a, 5, "mov eax, 0x12345678", "mov eax, 0x12365678");
    test_image_free(&t);
}

static void test_amd64(void **state)
{
    /* mov rax, 180002000h; ret */
    static const uint8_t code[] = {0x48, 0xb8, 0x00, 0x20, 0x00, 0x80, 0x01, 0, 0, 0, 0xc3};
    struct pebuild *b = pebuild_new(PEBUILD_DLL | PEBUILD_PE32_PLUS);
    pebuild_section(b, ".text", PEBUILD_TEXT, code, sizeof code, 0);
    struct test_image t = test_image_make(b);
    assert_found(&t, NULL, 0x1002, 0x1000, 10, "mov rax, 0x180002000", "mov rax, 0x180022000");
    test_image_free(&t);
}

#endif

static void test_not_in_an_instruction(void **state)
{
    static const struct {
        uint32_t rva;
        uint8_t type;
        const char *what;
    } rows[] = {
        {0x1016, 3, "jump table"},       {0x2000, 3, "data"},       {0x100, 3, "headers"},
        {0x1001, 3, "opcode"},           {0x1003, 3, "misaligned"}, {0x1002, 0, "padding"},
        {0x1002, 12, "refused type"},    {0x1002, 10, "too wide"},  {0x90000000, 3, "outside"},
        {0x1000 + 0xffd, 3, "page end"},
    };
    struct test_image t = make_code32();
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct reloc_audit audit;
        struct pe_fixup fixup = fixup_at(rows[i].rva, rows[i].type);
        print_message("%s\n", rows[i].what);
        assert_false(reloc_audit_fixup(&t.file, &fixup, 0x20000, &audit));
    }
    test_image_free(&t);
}

static void test_other_machines(void **state)
{
    struct test_image t = make_code32();
    struct reloc_audit audit;
    struct pe_fixup fixup = fixup_at(0x1002, 3);
    t.file.h.machine = IMAGE_FILE_MACHINE_ARM64;
    assert_false(reloc_audit_fixup(&t.file, &fixup, 0x20000, &audit));
    test_image_free(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#ifdef HAVE_ZYDIS
        cmocka_unit_test(test_instructions),
        cmocka_unit_test(test_a_known_start_resynchronises),
        cmocka_unit_test(test_amd64),
#endif
        cmocka_unit_test(test_not_in_an_instruction),
        cmocka_unit_test(test_other_machines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
