import { total } from "./sum.js";
import prices from "./prices.json";
import greeting from "./text/greeting.txt";

console.log(`${greeting.trim()}: ${total(prices)}`);
