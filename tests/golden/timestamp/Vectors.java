import java.util.LinkedHashSet;
import java.util.Locale;
import java.util.Random;
import org.apache.druid.java.util.common.parsers.TimestampParser;
import org.joda.time.DateTime;
import org.joda.time.DateTimeZone;
import org.joda.time.format.DateTimeFormat;
import org.joda.time.format.DateTimeFormatter;

/* Texts and what Druid's own parser makes of them; see README. Arguments: how
 * many times are printed by each pattern, per cent of TEXTS that are used. */
public class Vectors {
    static final Random random = new Random(20260102);
    static final String[] PATTERNS = {"yyyy-MM-dd", "yyyy-MM-dd HH:mm:ss",
        "yyyy-MM-dd'T'HH:mm:ss.SSSZ", "yyyy-MM-dd'T'HH:mm:ssZZ",
        "yyyy-MM-dd HH:mm:ss ZZZ", "yyyy-MM-dd HH:mm:ss.SSSSSS",
        "yyyyMMdd", "yyyyMMddHHmmss", "yyyyMMddHHmmssSSS", "yyMMdd", "yy-M-d",
        "d.M.yy", "M/d/yy h:mm a", "MM/dd/yyyy hh:mm:ss a",
        "dd/MMM/yyyy:HH:mm:ss Z", "EEE MMM dd HH:mm:ss z yyyy",
        "EEE MMM dd HH:mm:ss zZ z yyyy", "EEE, dd MMM yyyy HH:mm:ss Z",
        "EEEE d MMMM yyyy", "MMM d", "MMM d HH:mm:ss", "HH:mm", "HH:mm:ss.S",
        "dd", "D yyyy", "yyyy-DDD", "yyyyDDD", "xxxx-'W'ww-e", "xxxx'W'wwe",
        "xx-ww", "ww", "e", "E", "E yyyy-MM-dd", "w e", "K:mm a", "K", "k:mm",
        "h a", "a", "yyyy-MM-dd kk", "yyyy MM dd KK aa", "G yyyy", "YYYY G",
        "MM-dd G", "C", "CCyy", "C yy MM", "Y", "YY", "YYYY-MM", "y", "yyy",
        "yyyyy", "x", "yyyy-MM-dd''HH", "'at' yyyy 'o''clock' HH", "yyyy.",
        "s", "m s", "S", "SSSSSSSSSSSSSSSSSSSSSS", "ss.SSS", "yyyy yyyy",
        "MM M", "dd D yyyy", "yyyy HH a", "hh KK a", "yyyy-MM-dd HH H",
        "e E yyyy-MM-dd", "x yyyy w", "ddd MMM yyyy", "HHH", "yyyy\u5e74M\u6708",
        "yyyy/MM/dd HH:mm:ssZ", "yyyy-MM-dd'T'HH:mm:ss'Z'", "Z yyyy", "ZZZ yyyy",
        "z yyyy-MM-dd HH", "yyyy-MM-dd HH ZZZ Z", "yyyy-MM-dd 'unclosed",
        "yyyy-MM-dd'T'HH:mm:ss.SSS zZZ", "eee", "mmm", "auto", "iso",
        "MMM yyyy E", "yyyy-MM e", "MMM E"};
    static final String[] ZONES = {"UTC", "Europe/Paris", "America/New_York",
        "Asia/Kolkata", "Australia/Lord_Howe", "+05:45", "-11:00", "EST"};
    static final String[] TEXTS = {"", " ", "0", "00", "7", "12", "24", "60",
        "99", "123", "366", "1999", "2000", "02000", "2024-02-29", "2023-02-29",
        "2024-02-30", "-5", "+5", "+2024", "-0044", "292278993", "292278994",
        "-292275054", "999999999", "9999999999", "Mon", "MON", "mon", "moN",
        "Monday", "Sept", "Feb 29", "Feb 30", "12 PM", "12 am", "0 AM", "13 PM",
        "24:00", "0:00", "12:00 PM", "2024-W53-1", "2020-W53-7", "2024W011",
        "53", "54", "AD 2000", "CE 1", "ce 7", "2000 ad", "20", "2024 ",
        "2024-03-31 02:30:00 Europe/Paris", "2024-10-27 02:30:00 Europe/Paris",
        "2024-03-10 02 EST", "PST 2024-07-01 10", "UT 2024-07-01 10",
        "PDT 2024-03-10 02", "GMT 2024", "Z 2024", "+01 2024", "+0130 2024",
        "-01:30:15.5 2024", "+24 2024", "+01: 2024", "+013 2024", "UTC 2024",
        "2024-01-01T10:00:00z", "2024-01-01T10:00:00.5", "T10", "T10:30Z",
        "2024-01-01 10:00", "2024-01-01T", "2024-001", "2024-366", "10:15:5"};
    static final String LETTERS = "0123456789 -+:/.,TZzAaPpMmonJ";

    static String mutate(String text) {
        int at = random.nextInt(text.length() + 1);
        char c = LETTERS.charAt(random.nextInt(LETTERS.length()));
        String head = text.substring(0, at), tail = text.substring(at);

        switch (random.nextInt(6)) {
        case 0: return head + c + tail;
        case 1: return tail.isEmpty() ? head : head + tail.substring(1);
        case 2: return tail.isEmpty() ? head + c : head + c + tail.substring(1);
        case 3: return text.toUpperCase(Locale.ROOT);
        case 4: return text.toLowerCase(Locale.ROOT);
        default: return head + (c >= '0' && c <= '9' ? c : '0') + tail;
        }
    }

    static String print(String pattern) {
        long t = random.nextInt(3) == 0
            ? (long) (random.nextGaussian() * 4e13)
            : 1000000000000L + (long) (random.nextDouble() * 1.5e12);
        DateTimeZone zone = DateTimeZone.forID(
            ZONES[random.nextInt(ZONES.length)]);
        String p = pattern.equals("auto") ? "yyyy-MM-dd HH:mm:ss.SSSZZ"
            : pattern.equals("iso") ? "yyyy-MM-dd'T'HH:mm:ss.SSSZZ" : pattern;
        DateTimeFormatter f = DateTimeFormat.forPattern(p);

        return f.withZone(zone).print(t);
    }

    /* Not where tranqd differs on purpose: timestamp.h and joda.h. */
    static boolean fits(String pattern, String text) {
        if (pattern.indexOf('G') >= 0 && text.matches("(?i).*BC.*"))
            return false;
        if (pattern.contains("ZZZ") && text.contains("PST"))
            return false;
        return !pattern.equals("auto")
            || !text.matches("(?i).* [A-Z].*|T.*");
    }

    public static void main(String[] args) {
        Locale.setDefault(Locale.US);
        System.out.println("# " + System.currentTimeMillis());
        for (String pattern : PATTERNS) {
            LinkedHashSet<String> texts = new LinkedHashSet<>();
            var parser = TimestampParser.createObjectTimestampParser(pattern);

            for (int i = 0; i < Integer.parseInt(args[0]); i++) {
                String text = print(pattern);
                texts.add(text);
                texts.add(mutate(text));
                texts.add(mutate(mutate(text)));
            }
            for (String text : TEXTS)
                if (random.nextInt(100) < Integer.parseInt(args[1]))
                    texts.add(text);
            System.out.println("= " + pattern);
            for (String text : texts) {
                String result = "x";
                if (!fits(pattern, text))
                    continue;
                try {
                    result = "" + parser.apply(text).getMillis();
                } catch (RuntimeException e) {
                }
                System.out.println(result + "\t" + text);
            }
        }
    }
}
