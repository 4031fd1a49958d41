# attempts: evaluates each of its arguments, and prints one line for each: what it got, or what it was told.
#
#     ruby attempts.rb CODE...
#
# All share one binding. What is no printable ASCII in a result or an error is escaped, so that a line is a line.

$stdout.sync = true
names = binding

ARGV.dup.each do |code|
  got =
    begin
      names.eval(code).inspect
    rescue Exception => error # SystemExit, NoMemoryError and SystemStackError among them
      "#{error.class}: #{error.message}"
    end
  line = "#{code} -> #{got}".b.gsub(/[^ -~]/n) { |byte| format('\x%02x', byte.ord) }
  begin
    $stdout.write(line + "\n")
  rescue SystemCallError, IOError
    # its own output may be what an attempt was after
  end
end
