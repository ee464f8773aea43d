// What PlotJuggler makes of Protobuf messages: its parser is libprotobuf's pool and reflection, one series for every number,
// named by the fields on the way to it. Reads (topic, type, schema, messages) as read_exports.py writes them, prints
// "topic/field/field value" for each message in turn.
#include <google/protobuf/descriptor.pb.h>
#include <google/protobuf/descriptor_database.h>
#include <google/protobuf/dynamic_message.h>

#include <cstdint>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <string>

namespace pb = google::protobuf;

static bool take(std::istream &in, std::string &block)
{
    uint32_t size;
    if (!in.read(reinterpret_cast<char *>(&size), sizeof size))
        return false;
    block.resize(size);
    return bool(in.read(&block[0], size));
}

static void print(const pb::Message &message, const std::string &prefix)
{
    const pb::Reflection *reflection = message.GetReflection();
    for (int i = 0; i < message.GetDescriptor()->field_count(); i++) {
        const pb::FieldDescriptor *field = message.GetDescriptor()->field(i);
        const std::string name = prefix + "/" + field->name();
        if (field->is_repeated())
            continue;
        switch (field->cpp_type()) {
        case pb::FieldDescriptor::CPPTYPE_MESSAGE:
            print(reflection->GetMessage(message, field), name);
            break;
        case pb::FieldDescriptor::CPPTYPE_DOUBLE:
            std::printf("%s %.17g\n", name.c_str(), reflection->GetDouble(message, field));
            break;
        case pb::FieldDescriptor::CPPTYPE_FLOAT:
            std::printf("%s %.17g\n", name.c_str(), reflection->GetFloat(message, field));
            break;
        case pb::FieldDescriptor::CPPTYPE_INT32:
            std::printf("%s %d\n", name.c_str(), reflection->GetInt32(message, field));
            break;
        case pb::FieldDescriptor::CPPTYPE_INT64:
            std::printf("%s %lld\n", name.c_str(), (long long)reflection->GetInt64(message, field));
            break;
        case pb::FieldDescriptor::CPPTYPE_BOOL:
            std::printf("%s %d\n", name.c_str(), reflection->GetBool(message, field));
            break;
        default:
            break;
        }
    }
}

int main(int count, char **arguments)
{
    std::ifstream in(arguments[count - 1], std::ios::binary);
    std::string topic, type, schema, data;
    std::printf("libprotobuf %d\n", GOOGLE_PROTOBUF_VERSION);
    while (take(in, topic) && take(in, type) && take(in, schema) && take(in, data)) {
        pb::FileDescriptorSet files;
        pb::SimpleDescriptorDatabase database;
        if (!files.ParseFromString(schema))
            return 1;
        for (const pb::FileDescriptorProto &file : files.file())
            database.Add(file);
        pb::DescriptorPool pool(&database);
        const pb::Descriptor *descriptor = pool.FindMessageTypeByName(type);
        if (!descriptor) {
            std::cerr << type << ": refused\n";
            return 1;
        }
        pb::DynamicMessageFactory factory(&pool);
        pb::Message *message = factory.GetPrototype(descriptor)->New();
        if (!message->ParseFromString(data))
            return 1;
        print(*message, topic);
        delete message;
    }
}
