import java.io.ByteArrayInputStream;
import java.io.DataInput;
import java.io.DataInputStream;
import java.io.EOFException;
import java.lang.reflect.Array;
import java.lang.reflect.Field;
import java.lang.reflect.Modifier;
import lcm.logging.Log;
import lcm.spy.LCMTypeDatabase;

/**
 * What lcm-spy does with a message, without its window: its own search of the class path finds the type by the
 * fingerprint, the type's constructor decodes it. One line for each message of a log: channel, type, fields.
 *
 *     java -cp lcm.jar:wildrobot_lcm.jar SpyTypes.java LOG
 */
public class SpyTypes {
    public static void main(String[] args) throws Exception {
        LCMTypeDatabase types = new LCMTypeDatabase();
        Log log = new Log(args[0], "r");
        try {
            while (true) {
                Log.Event event = log.readNext();
                DataInputStream data = new DataInputStream(new ByteArrayInputStream(event.data));
                long fingerprint = new DataInputStream(new ByteArrayInputStream(event.data)).readLong();
                Class<?> type = types.getClassByFingerprint(fingerprint);
                if (type == null) {
                    System.out.println(event.channel + " unknown");
                    continue;
                }
                Object message = type.getConstructor(DataInput.class).newInstance(data);
                StringBuilder line = new StringBuilder(event.channel + " " + type.getName());
                for (Field field : type.getFields()) {
                    if (!Modifier.isStatic(field.getModifiers()) && field.getType() != String.class)
                        line.append(" ").append(field.getName()).append("=").append(said(field.get(message)));
                }
                System.out.println(line);
            }
        } catch (EOFException end) {
            return;
        }
    }

    private static String said(Object value) {
        if (!value.getClass().isArray())
            return value.toString();
        StringBuilder all = new StringBuilder();
        for (int i = 0; i < Array.getLength(value); i++)
            all.append(i == 0 ? "" : ",").append(Array.get(value, i));
        return all.toString();
    }
}
