# totals: sums up a directory of CSV invoices by customer, exactly, and writes the sums as JSON.
#
#     ruby totals.rb SOURCE TARGET
#
# A row whose quantity or price is no number is left out. ../python/totals.py writes the same bytes.

require "bigdecimal"
require "csv"
require "digest"
require "json"

source, target = ARGV
sums = Hash.new(BigDecimal(0))
digests = {}
left_out = 0

Dir.children(source).select { |name| name.end_with?(".csv") }.sort.each do |name|
  path = File.join(source, name)
  digests[name] = Digest::SHA256.hexdigest(File.binread(path))
  CSV.foreach(path, "r:bom|utf-8", headers: true) do |row|
    sums[row["customer"]] += BigDecimal(row["quantity"]) * BigDecimal(row["unit_price"])
  rescue ArgumentError, TypeError
    left_out += 1
  end
end

def shown(amount)
  format("%.2f", amount)
end

result = {
  files: digests,
  left_out: left_out,
  totals: sums.sort.to_h { |name, amount| [name, shown(amount)] },
  total: shown(sums.values.sum),
}
File.write(target, JSON.pretty_generate(result) + "\n")
puts "totals: #{digests.size} files, #{sums.size} customers, #{left_out} left out, total #{result[:total]} -> #{target}"
